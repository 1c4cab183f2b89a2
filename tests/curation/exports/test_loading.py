"""Every format is read by the library that its users use, with the same samples in it."""

from __future__ import annotations

import base64
import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from curation.exports.write_export import export
from curation.sources.hf import HfReader
from medsift.images.blob_store import BlobStore
from medsift.manifest import selected

TRAVELLING = ("sample_id", "row_id", "rank", "weight", "stratum", "patient_id")


def identities(lines: Any) -> list[dict[str, Any]]:
    return [{name: line[name] for name in TRAVELLING} for line in lines]


def wanted(expected: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return identities(expected)


def image_parts(messages: Any) -> int:
    return Counter(part["type"] for turn in messages for part in turn["content"])["image"]


def load(kind: str, path: Path, cache: Path, **more: Any) -> Any:
    import datasets

    return datasets.load_dataset(kind, cache_dir=str(cache), split="train", **more)


@pytest.fixture
def messages(manifest: Path, tmp_path: Path) -> Any:
    path = tmp_path / "m.jsonl"
    assert export(manifest, "messages", path, record=False).rows == 9
    return load("json", path, tmp_path / "cache", data_files=str(path))


@pytest.fixture
def hub(manifest: Path, tmp_path: Path) -> Any:
    import datasets

    path = tmp_path / "hf"
    assert export(manifest, "hf", path, record=False).rows == 9
    return datasets.load_dataset(str(path), cache_dir=str(tmp_path / "cache"), split="train")


def test_messages_are_a_data_set_with_a_part_a_picture(messages, expected):
    assert identities(messages) == wanted(expected)
    assert [image_parts(line["messages"]) for line in messages] == [
        line["pictures"] for line in expected
    ]
    lines = {line["sample_id"]: line for line in messages}
    parts = [part["type"] for part in lines["id1"]["messages"][0]["content"]]
    assert parts == ["text", "image", "text"]
    assert lines["id0"]["messages"][0]["content"][0]["text"] == 'Is "0" né?\nSay </b>.'
    assert lines["id2"]["messages"][0]["role"] == "system"


def collator() -> Any:
    """TRL's own, over a processor that needs no weights: four marks a picture of 8 × 8 pixels."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import CLIPImageProcessor, LlavaProcessor, PreTrainedTokenizerFast
    from trl.trainer.sft_trainer import DataCollatorForVisionLanguageModeling

    words = Tokenizer(models.WordLevel({"<pad>": 0, "<unk>": 1, "<image>": 2, "yes": 3}, "<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token="<pad>",
        unk_token="<unk>",
        extra_special_tokens={"image_token": "<image>"},
    )
    template = (
        "{% for turn in messages %}{% for part in turn['content'] %}"
        "{{ '<image>' if part['type'] == 'image' else part['text'] }} {% endfor %}{% endfor %}"
    )
    processor = LlavaProcessor(
        image_processor=CLIPImageProcessor(
            size={"shortest_edge": 8}, crop_size={"height": 8, "width": 8}
        ),
        tokenizer=tokenizer,
        patch_size=4,
        vision_feature_select_strategy="full",
        chat_template=template,
        num_additional_image_tokens=0,
    )
    return DataCollatorForVisionLanguageModeling(processor)


@pytest.mark.slow
@pytest.mark.parametrize("format", ["messages", "hf"])
def test_trl_collates_pictures_and_conversations(format, request, expected):
    import datasets

    loaded = request.getfixturevalue("messages" if format == "messages" else "hub")
    if format == "messages":
        # Paths are pictures once the user says so.
        loaded = loaded.cast_column("images", datasets.List(datasets.Image()))
    batch = collator()(list(loaded))
    counts = [line["pictures"] for line in expected]
    assert ((batch["input_ids"] == 2).sum(1) // 4).tolist() == counts
    assert len(batch["pixel_values"]) == sum(counts)
    assert (batch["input_ids"] == 3).any(1).all(), "every answer is there"


@pytest.mark.parametrize("format", ["sharegpt", "llava", "qwen_vl"])
def test_conversations_have_a_mark_for_each_picture(manifest, tmp_path, format, expected):
    export(manifest, format, tmp_path / "c.json", record=False)
    lines = json.loads((tmp_path / "c.json").read_text())
    assert identities(lines) == wanted(expected)
    for line, want in zip(lines, expected, strict=True):
        image = line.get("image", [])
        images = line.get("images", image if isinstance(image, list) else [image])
        marks = sum(turn["value"].count("<image>") for turn in line["conversations"])
        assert marks == len(images) == want["pictures"]
        assert all(Path(ref).is_file() for ref in images)
        assert line["conversations"][-1] == {"from": "gpt", "value": "yes"}
        assert line["id"] == want["row_id"]


def test_llava_alternates_human_and_gpt_and_names_no_image_without_one(manifest, tmp_path):
    """LLaVA's `preprocess` looks roles up in {human, gpt} and wants them in turn."""
    export(manifest, "llava", tmp_path / "c.json", record=False)
    lines = {line["sample_id"]: line for line in json.loads((tmp_path / "c.json").read_text())}
    for line in lines.values():
        speakers = [turn["from"] for turn in line["conversations"]]
        assert speakers == ["human", "gpt"] * (len(speakers) // 2)
    assert lines["id2"]["conversations"][0]["value"].startswith("Be brief.\n\n")
    assert "image" not in lines["id0"]
    assert isinstance(lines["id3"]["image"], list)
    assert isinstance(lines["id1"]["image"], str)


def test_llama_factory_finds_a_declared_data_set_with_its_pictures(manifest, tmp_path, expected):
    """What LLaMA-Factory's loader asks of a folder: the declaration, columns, tags and media."""
    folder = tmp_path / "lf"
    export(manifest, "llama_factory", folder, record=False)
    [(name, declared)] = json.loads((folder / "dataset_info.json").read_text()).items()
    assert (name, declared["formatting"]) == ("small", "sharegpt")
    columns, tags = declared["columns"], declared["tags"]
    file = str(folder / declared["file_name"])
    loaded = load("json", folder, tmp_path / "cache", data_files=file)
    assert identities(loaded) == wanted(expected)
    roles = {tags["user_tag"], tags["assistant_tag"], tags["system_tag"]}
    for line, want in zip(loaded, expected, strict=True):
        turns, media = line[columns["messages"]], line[columns["images"]]
        assert {turn[tags["role_tag"]] for turn in turns} <= roles
        marks = sum(turn[tags["content_tag"]].count("<image>") for turn in turns)
        assert marks == len(media) == want["pictures"]
        assert all((folder / path).is_file() and not Path(path).is_absolute() for path in media)


@pytest.mark.parametrize("format", ["ms_swift", "openai"])
def test_chats_on_lines_have_a_place_for_each_picture(manifest, tmp_path, format, expected):
    path = tmp_path / "c.jsonl"
    export(manifest, format, path, record=False)
    loaded = load("json", path, tmp_path / "cache", data_files=str(path))
    assert identities(loaded) == wanted(expected)
    for line, want in zip(map(json.loads, path.read_text().splitlines()), expected, strict=True):
        turns = line["messages"]
        assert {turn["role"] for turn in turns} <= {"system", "user", "assistant"}
        if format == "ms_swift":
            assert len(line["images"]) == want["pictures"]
            assert sum(turn["content"].count("<image>") for turn in turns) == want["pictures"]
            assert all(Path(ref).is_file() for ref in line["images"])
            continue
        parts = [(turn["role"], part) for turn in turns for part in turn["content"]]
        urls = [(role, part["image_url"]["url"]) for role, part in parts if "image_url" in part]
        assert {part["type"] for _, part in parts} <= {"text", "image_url"}
        assert len(urls) == want["pictures"]
        assert {role for role, _ in urls} <= {"user"}
        for _, url in urls:
            head, _, data = url.partition(";base64,")
            picture = Image.open(io.BytesIO(base64.b64decode(data)))
            assert head == f"data:image/{picture.format.lower()}"


def test_sharegpt_is_a_data_set(manifest, tmp_path, expected):
    path = tmp_path / "c.json"
    export(manifest, "sharegpt", path, record=False)
    loaded = load("json", path, tmp_path / "cache", data_files=str(path))
    assert identities(loaded) == wanted(expected)
    assert loaded[0]["conversations"][0]["from"] == "human"


def test_parquet_is_the_selection(manifest, tmp_path, expected):
    path = tmp_path / "s.parquet"
    assert export(manifest, "parquet", path, record=False).rows == 9
    assert pq.read_table(path).equals(selected(manifest))
    loaded = load("parquet", path, tmp_path / "cache", data_files=str(path))
    assert identities(loaded) == wanted(expected)


def test_hf_folder_holds_the_pictures_themselves(hub, expected, samples):
    assert identities(hub) == wanted(expected)
    refs = {line["sample_id"]: line["refs"] for line in samples}
    for line in hub:
        assert image_parts(line["messages"]) == len(line["images"]) == len(line["image_ids"])
        for image, ref in zip(line["images"], refs[line["sample_id"]], strict=True):
            if not ref.endswith(".dcm"):
                assert np.array_equal(np.asarray(image), np.asarray(Image.open(ref)))


def test_dicom_becomes_a_picture_that_everyone_opens(hub):
    from pydicom import dcmread
    from pydicom.data import get_testdata_file

    [line] = [line for line in hub if line["sample_id"] == "id8"]
    [image] = line["images"]
    stored = dcmread(get_testdata_file("CT_small.dcm", download=False)).pixel_array
    assert image.size == stored.shape[::-1]
    shown, meant = np.asarray(image, float).ravel(), stored.astype(float).ravel()
    assert np.corrcoef(shown, meant)[0, 1] > 0.9


def test_an_export_can_be_curated_again(hub, tmp_path, expected):
    reader = HfReader(name="again", path=str(tmp_path / "hf" / "data"))
    reader.check()
    tables = [
        table
        for shard in reader.shards()
        for table in reader.read(shard, BlobStore(tmp_path / "blobs"))
    ]
    lines = [line for table in tables for line in table.to_pylist()]
    assert [len(line["images"]) for line in lines] == [line["pictures"] for line in expected]
    assert all(line["error"] is None for line in lines)


def test_webdataset_iterates_decoded_samples(manifest, tmp_path, expected):
    import webdataset

    result = export(manifest, "webdataset", tmp_path / "w", record=False)
    tars = sorted(str(path) for path in result.files if path.suffix == ".tar")
    kinds = ("jpg+jpg", "jpg", "png+png", "png", "text")
    assert [Path(path).name for path in tars] == [f"{kind}-00000.tar" for kind in kinds]
    found = list(webdataset.WebDataset(tars, shardshuffle=False).decode("pil"))
    lines = {line["json"]["rank"]: line for line in found}
    assert identities(lines[rank]["json"] for rank in sorted(lines)) == wanted(expected)
    for line in found:
        images = [line[key] for key in line if key.endswith((".jpg", ".png"))]
        assert image_parts(line["json"]["messages"]) == len(images)
        assert all(isinstance(image, Image.Image) for image in images)


def test_webdataset_tars_are_a_data_set(manifest, tmp_path, expected):
    result = export(manifest, "webdataset", tmp_path / "w", record=False)
    found = []
    for path in (path for path in result.files if path.suffix == ".tar"):
        loaded = load("webdataset", path, tmp_path / "cache", data_files=str(path))
        found += [line["json"]["sample_id"] for line in loaded]
    assert sorted(found) == sorted(line["sample_id"] for line in expected)
