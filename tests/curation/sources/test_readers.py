from __future__ import annotations

import io
import json
import pickle
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.ingest import IngestConfig, ingest
from curation.sources import image_folder
from curation.sources.hf import HfReader
from curation.sources.image_folder import ImageFolderReader
from curation.sources.llava import LlavaReader
from curation.sources.messages import MessagesReader
from curation.sources.webdataset import WebDatasetReader
from medsift import records
from medsift.images.blob_store import BlobStore
from tests.expect import raises_code


def rows_of(reader, folder):
    reader = pickle.loads(pickle.dumps(reader))
    blobs = BlobStore(Path(folder) / "blobs")
    tables = [table for shard in reader.shards() for table in reader.read(shard, blobs)]
    assert all(table.schema.equals(records.ROWS) for table in tables)
    return pa.concat_tables(tables)


def samples_of(reader, folder):
    result = ingest(rows_of(reader, folder), IngestConfig())
    assert result.decisions.to_pylist() == []
    return result.samples.to_pylist()


def write_lines(path, items):
    path.write_text("".join(json.dumps(item) + "\n" for item in items))
    return str(path)


def said(sample):
    return [(turn["role"], turn["content"]) for turn in sample["messages"]]


LLAVA = [
    {
        "id": "1",
        "image": "a.png",
        "conversations": [
            {"from": "human", "value": "<image>\nWhat is it?"},
            {"from": "gpt", "value": "A lung."},
            {"from": "human", "value": "Which side?"},
            {"from": "gpt", "value": "Left."},
        ],
    },
    {
        "id": "2",
        "image": ["a.png", "b.png"],
        "conversations": [
            {"from": "system", "value": "Be brief."},
            {"from": "human", "value": "From <image> to <image>?"},
            {"from": "gpt", "value": "Worse."},
        ],
    },
    {
        "id": "3",
        "conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Ho"}],
    },
]


@pytest.mark.parametrize("name", ["l.json", "l.jsonl"])
def test_llava_conversations_with_one_many_or_no_pictures(tmp_path, name):
    path = tmp_path / name
    if name == "l.json":
        path.write_text(json.dumps(LLAVA))
    else:
        write_lines(path, LLAVA)
    reader = LlavaReader(name="l", path=str(path), columns={"id": "id", "modality": "'XR'"})
    one, two, three = samples_of(reader, tmp_path)
    root = tmp_path.resolve()
    assert said(one)[0] == ("user", "What is it?")
    assert (one["question"], one["answer"]) == ("What is it?", "Left.")
    assert two["refs"] == [str(root / "a.png"), str(root / "b.png")]
    assert said(two)[:2] == [("system", "Be brief."), ("user", "From <image> to <image>?")]
    assert three["refs"] == []
    assert [json.loads(item["extra"])["id"] for item in (one, two, three)] == ["1", "2", "3"]
    assert one["modality"] == "xr"


def test_llava_without_conversations_is_refused(tmp_path):
    path = write_lines(tmp_path / "x.jsonl", [{"question": "q", "answer": "a"}])
    with raises_code("source_column_unknown"):
        LlavaReader(name="l", path=path).shards()


def test_messages_in_every_spelling(tmp_path):
    url = "data:image/png;base64,cG5n"
    items = [
        {
            "messages": [
                {"role": "user", "content": "Q1"},
                {"role": "assistant", "content": "A1"},
            ],
            "images": ["a.png"],
        },
        {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "image_url", "image_url": {"url": url}},
                        {"type": "text", "text": "Q2"},
                    ],
                },
                {"role": "assistant", "content": [{"type": "text", "text": "A2"}]},
            ],
        },
        {"conversations": [{"from": "user", "value": "Q3"}, {"from": "chatgpt", "value": "A3"}]},
        {
            "messages": [
                {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Q4"}]},
                {"role": "assistant", "content": "A4"},
            ],
            "images": ["a.png"],
        },
    ]
    found = samples_of(
        MessagesReader(name="m", path=write_lines(tmp_path / "m.jsonl", items)), tmp_path
    )
    assert [item["question"] for item in found] == ["Q1", "Q2", "Q3", "Q4"]
    assert [item["answer"] for item in found] == ["A1", "A2", "A3", "A4"]
    assert [len(item["refs"]) for item in found] == [1, 1, 0, 1]
    assert Path(found[1]["refs"][0]).read_bytes() == b"png"


def test_broken_chats_fail_alone(tmp_path):
    good = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    video = [{"role": "user", "content": [{"type": "video"}]}]
    items = [{"messages": chat} for chat in (good, "text", [1], [{"content": "x"}], video, 5)]
    path = write_lines(tmp_path / "m.jsonl", items)
    rows = rows_of(MessagesReader(name="m", path=path), tmp_path).to_pylist()
    assert [row["error"] for row in rows] == [None, *["malformed_messages"] * 5]


def test_chats_in_parquet_keep_their_structure(tmp_path):
    chat = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    images = [{"bytes": b"png", "path": None}]
    table = pa.Table.from_pylist([{"messages": chat, "images": images}])
    pq.write_table(table, tmp_path / "m.parquet")
    (found,) = samples_of(MessagesReader(name="m", path=str(tmp_path)), tmp_path)
    assert said(found) == [("user", "q"), ("assistant", "a")]
    assert Path(found["refs"][0]).read_bytes() == b"png"


def png():
    from PIL import Image

    stream = io.BytesIO()
    Image.new("L", (4, 4), 7).save(stream, "PNG")
    return stream.getvalue()


def test_saved_hugging_face_datasets(tmp_path):
    import datasets

    def make(count):
        features = datasets.Features(
            {
                "image": datasets.Image(),
                "question": datasets.Value("string"),
                "answer": datasets.ClassLabel(names=["no", "yes"]),
            }
        )
        images = [{"bytes": png(), "path": None}] * count
        rows = {
            "image": images,
            "question": ["q"] * count,
            "answer": [at % 2 for at in range(count)],
        }
        return datasets.Dataset.from_dict(rows, features=features)

    both = datasets.DatasetDict({"train": make(7), "test": make(2)})
    both.save_to_disk(str(tmp_path / "both"))
    reader = HfReader(name="h", path=str(tmp_path / "both"), shard_rows=3, batch_rows=2)
    found = samples_of(reader, tmp_path)
    assert [item["row_id"] for item in found[:2]] == ["h:train:0", "h:train:1"]
    assert [item["split"] for item in found] == ["train"] * 7 + ["test"] * 2
    assert [item["answer"] for item in found[:2]] == ["no", "yes"]
    assert Path(found[0]["refs"][0]).read_bytes() == png()
    whole = samples_of(reader.model_copy(update={"shard_rows": 100}), tmp_path)
    assert whole == found
    only = HfReader(name="h", path=str(tmp_path / "both"), split="test")
    assert len(samples_of(only, tmp_path)) == 2
    assert reader.fingerprint() == reader.fingerprint() != only.fingerprint()
    with raises_code("split_unknown", split="val"):
        HfReader(name="h", path=str(tmp_path / "both"), split="val").shards()


def test_hugging_face_parquet_with_embedded_pictures(tmp_path):
    rows = [{"image": {"bytes": png(), "path": "x.png"}, "question": "q", "answer": "a"}] * 4
    (tmp_path / "data").mkdir()
    for at in range(2):
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / "data" / f"train-{at}.parquet")
    found = samples_of(HfReader(name="h", path=str(tmp_path / "data")), tmp_path)
    assert len(found) == 8
    assert {Path(item["refs"][0]).read_bytes() for item in found} == {png()}


def test_a_hub_name_that_is_not_there_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    with raises_code("dataset_unloadable", dataset="medsift/nothing") as caught:
        HfReader(name="h", path="medsift/nothing").shards()
    assert "\n" not in str(caught.value)


def tar(path, members, mode="w"):
    with tarfile.open(path, mode) as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return str(path)


def test_webdataset_groups_members_by_key(tmp_path):
    members = [
        ("d/one.0.png", b"p0"),
        ("d/one.1.png", b"p1"),
        ("d/one.json", b'{"question": "Q", "answer": 3, "kind": "MR"}'),
        ("d/two.jpg", b"p2"),
        ("d/two.txt", "Zwei ü".encode()),
        (
            "chat.json",
            b'{"conversations": [{"from":"human","value":"q"},{"from":"gpt","value":"a"}]}',
        ),
    ]
    tar(tmp_path / "s.tar", members)
    tar(tmp_path / "z.tar.gz", members, "w:gz")
    reader = WebDatasetReader(name="w", path=str(tmp_path), columns={"modality": "kind"})
    found = samples_of(reader, tmp_path)
    assert [item["row_id"] for item in found[:3]] == ["w:s.tar:0", "w:s.tar:1", "w:s.tar:2"]
    assert [item["question"] for item in found[:3]] == ["Q", "Describe this image.", "q"]
    assert [item["answer"] for item in found[:3]] == ["3", "Zwei ü", "a"]
    assert [Path(ref).read_bytes() for ref in found[0]["refs"]] == [b"p0", b"p1"]
    assert [item["modality"] for item in found[:3]] == ["mr", None, None]
    assert [item["answer"] for item in found[3:]] == ["3", "Zwei ü", "a"]
    assert reader.fingerprint() == reader.fingerprint()


def test_webdataset_faults(tmp_path):
    members = [
        ("a.json", b'{"question":"q","answer":"a"}'),
        ("b.json", b"{bad"),
        ("a.png", b"p"),
        ("c.txt", b"\xff"),
        ("d.txt", b"x"),
        ("d.txt", b"y"),
        ("e.png", b"p"),
    ]
    path = tar(tmp_path / "s.tar", members)
    rows = rows_of(WebDatasetReader(name="w", path=path), tmp_path)
    errors = rows["error"].to_pylist()
    assert errors == [None, "malformed_json", "duplicate_key", "not_utf8", "duplicate_key", None]
    reasons = ingest(rows, IngestConfig()).decisions["reason"].to_pylist()
    assert "empty_answer" in reasons
    cut = tmp_path / "cut.tar"
    big = tar(tmp_path / "big.tar", [("a.json", b'{"question":"q","answer":"a"}' + b" " * 9000)])
    cut.write_bytes(Path(big).read_bytes()[:4000])
    with raises_code("file_broken", file=cut.name):
        rows_of(WebDatasetReader(name="w", path=str(cut)), tmp_path)


def test_image_folders_with_captions_beside(tmp_path):
    root = tmp_path / "in"
    (root / "ct").mkdir(parents=True)
    (root / "ct" / "a.png").write_bytes(png())
    (root / "ct" / "a.txt").write_text("A lesion.")
    (root / "b.jpg").write_bytes(b"x")
    (root / "c.png").write_bytes(b"x")
    (root / "c.txt").write_bytes(b"\xff")
    reader = ImageFolderReader(
        name="f", path=str(root), prompt="What's shown?", columns={"modality": "folder"}
    )
    rows = rows_of(reader, tmp_path)
    assert rows["row_id"].to_pylist() == ["f:b.jpg:0", "f:c.png:0", "f:ct/a.png:0"]
    assert rows["error"].to_pylist() == [None, "not_utf8", None]
    result = ingest(rows, IngestConfig())
    (sample,) = result.samples.to_pylist()
    assert (sample["question"], sample["answer"]) == ("What's shown?", "A lesion.")
    assert (sample["modality"], sample["refs"]) == ("ct", [str((root / "ct/a.png").resolve())])
    assert sorted(result.decisions["reason"].to_pylist()) == ["empty_answer", "not_utf8"]
    small = reader.model_copy(update={"shard_images": 1})
    assert rows_of(small, tmp_path).equals(rows)
    before = reader.fingerprint()
    (root / "b.txt").write_text("new")
    assert reader.fingerprint() != before


def test_a_folder_of_pictures_is_walked_once_for_all_its_shards(tmp_path, monkeypatch):
    for at in range(12):
        (tmp_path / f"{at:02}.png").write_bytes(png())
        (tmp_path / f"{at:02}.txt").write_text(f"caption {at}")
    reader = ImageFolderReader(name="f", path=str(tmp_path), shard_images=2)
    walked = []
    found = image_folder.find
    monkeypatch.setattr(image_folder, "find", lambda *args: walked.append(1) or found(*args))
    shards = reader.shards()
    blobs = BlobStore(tmp_path / "blobs")
    rows = [row for s in shards for part in reader.read(s, blobs) for row in part.to_pylist()]
    assert (len(shards), len(rows), len(walked)) == (6, 12, 1)


def test_image_folders_with_a_caption_table(tmp_path):
    (tmp_path / "img").mkdir()
    (tmp_path / "img" / "a.png").write_bytes(png())
    (tmp_path / "captions.csv").write_text('file_name,caption,organ\na.png,"One, two",Lung\n')
    reader = ImageFolderReader(
        name="f",
        path=str(tmp_path / "img"),
        captions=str(tmp_path / "captions.csv"),
        columns={"body_part": "organ"},
    )
    (sample,) = samples_of(reader, tmp_path)
    assert (sample["answer"], sample["body_part"]) == ("One, two", "lung")
    assert sample["refs"] == [str((tmp_path / "img" / "a.png").resolve())]


def test_empty_folders_are_refused(tmp_path):
    for reader in (ImageFolderReader, WebDatasetReader):
        with raises_code("source_empty", path=str(tmp_path)):
            reader(name="x", path=str(tmp_path)).shards()
