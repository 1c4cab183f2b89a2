"""Exports load back, by the libraries their users use, with the same samples."""

from __future__ import annotations

import io
import json
from collections import Counter
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from curation import records
from curation.errors import InputError, ManifestError, UsageError
from curation.exports import FORMATS, export
from curation.manifest import RunRecord, query, selected, write_manifest

SAMPLES = 9


def pictures(folder, index: int) -> list[str]:
    """Sample 0 is text-only, every third has two pictures, formats differ."""
    if index == 0:
        return []
    paths = []
    for place in range(2 if index % 3 == 0 else 1):
        path = folder / f"{index}-{place}.{'png' if index % 2 else 'jpg'}"
        Image.fromarray(np.full((8, 8), 20 * index + place, np.uint8)).save(path)
        paths.append(str(path))
    return paths


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    samples, rows, chosen = [], [], []
    for index in range(SAMPLES):
        row, refs = records.row_id("s", "f", index), pictures(folder, index)
        question = "Left or <image> right?" if index == 1 else f'Is "{index}" né?\nSay </b>.'
        turns = [{"role": "system", "content": "Be brief."}] if index == 2 else []
        turns += [{"role": "user", "content": question}, {"role": "assistant", "content": "yes"}]
        rows.append({"row_id": row, "source": "s", "file": "f", "index": index})
        samples.append(
            {"sample_id": f"id{index}", "row_id": row, "source": "s", "modality": "ct",
             "license": "CC-BY 4.0", "question": question, "answer": "yes", "messages": turns,
             "refs": refs, "images": [records.digest(ref) for ref in refs]}
        )  # fmt: skip
        chosen.append(
            {"selection": "small", "rank": SAMPLES - 1 - index, "sample_id": f"id{index}",
             "row_id": row, "weight": 1.0 + index}
        )  # fmt: skip
    path = tmp_path_factory.mktemp("run") / "manifest.duckdb"
    tables = {
        "rows": pa.Table.from_pylist(rows, schema=records.ROWS),
        "samples": pa.Table.from_pylist(samples, schema=records.SAMPLES),
        "selections": pa.Table.from_pylist(chosen),
    }
    write_manifest(path, tables, RunRecord("a", "test", datetime(2026, 1, 1), seed=1))
    return path


def ids() -> list[str]:
    return [f"id{index}" for index in reversed(range(SAMPLES))]


def marks(turns, key: str) -> int:
    return sum(turn[key].count("<image>") for turn in turns)


def test_messages_load_as_a_data_set_with_a_part_a_picture(manifest, tmp_path):
    import datasets

    result = export(manifest, "messages", tmp_path / "m.jsonl", record=False)
    assert (result.rows, result.files) == (SAMPLES, [tmp_path / "m.jsonl"])
    loaded = datasets.load_dataset(
        "json", data_files=str(tmp_path / "m.jsonl"), cache_dir=str(tmp_path / "c"), split="train"
    )
    assert loaded["sample_id"][:] == ids()
    assert loaded["weight"][:] == [float(weight) for weight in range(SAMPLES, 0, -1)]
    for line in loaded:
        kinds = Counter(part["type"] for turn in line["messages"] for part in turn["content"])
        assert kinds["image"] == len(line["images"])
        assert line["modality"] == "ct"
    lines = {line["sample_id"]: line for line in loaded}
    parts = [part["type"] for part in lines["id1"]["messages"][0]["content"]]
    assert parts == ["text", "image", "text"]
    assert lines["id0"]["messages"][0]["content"][0]["text"] == 'Is "0" né?\nSay </b>.'
    assert lines["id2"]["messages"][0]["role"] == "system"


@pytest.mark.parametrize("format", ["sharegpt", "llava"])
def test_conversations_have_a_mark_for_each_picture(manifest, tmp_path, format):
    export(manifest, format, tmp_path / "c.json", record=False)
    lines = json.loads((tmp_path / "c.json").read_text())
    assert [line["sample_id"] for line in lines] == ids()
    for line in lines:
        image = line.get("image", [])
        images = line.get("images", image if isinstance(image, list) else [image])
        assert marks(line["conversations"], "value") == len(images)
        assert line["conversations"][-1] == {"from": "gpt", "value": "yes"}
    assert ("image" in lines[-1]) is False


def test_sharegpt_loads_as_a_data_set(manifest, tmp_path):
    import datasets

    export(manifest, "sharegpt", tmp_path / "c.json", record=False)
    loaded = datasets.load_dataset(
        "json", data_files=str(tmp_path / "c.json"), cache_dir=str(tmp_path / "c"), split="train"
    )
    assert len(loaded) == SAMPLES


def test_parquet_is_the_selection(manifest, tmp_path):
    result = export(manifest, "parquet", tmp_path / "s.parquet", record=False)
    assert result.rows == SAMPLES
    assert pq.read_table(tmp_path / "s.parquet").equals(selected(manifest))


def test_hf_folder_loads_with_pictures_and_a_filled_card(manifest, tmp_path):
    import datasets

    result = export(manifest, "hf", tmp_path / "hf", record=False)
    loaded = datasets.load_from_disk(str(tmp_path / "hf"))
    assert len(loaded) == result.rows == SAMPLES
    assert loaded["sample_id"][:] == ids()
    refs = {line["sample_id"]: line["images"] for line in selected(manifest).to_pylist()}
    for line in loaded:
        assert marks(line["messages"], "content") == len(line["images"])
        for image, picture in zip(line["images"], refs[line["sample_id"]], strict=True):
            assert np.array_equal(np.asarray(image), np.asarray(Image.open(picture["ref"])))
    card = (tmp_path / "hf" / "README.md").read_text()
    assert 'license: ["CC-BY 4.0"]' in card
    assert "| ct | 9 |" in card
    assert [path.name for path in tmp_path.iterdir()] == ["hf"]


def test_webdataset_tars_load_and_repeat_to_the_byte(manifest, tmp_path):
    import datasets

    result = export(manifest, "webdataset", tmp_path / "w", record=False)
    names = sorted(path.name for path in result.files)
    assert names == [f"{kind}-00000.tar" for kind in ("jpg+jpg", "jpg", "png+png", "png", "text")]
    found = []
    for path in result.files:
        loaded = datasets.load_dataset(
            "webdataset", data_files=str(path), cache_dir=str(tmp_path / "c"), split="train"
        )
        for line in loaded:
            found.append(line["json"]["sample_id"])
            images = [key for key in line if key.endswith(("jpg", "png"))]
            assert marks(line["json"]["messages"], "content") == len(images)
            assert all(isinstance(line[key], Image.Image) for key in images)
    assert sorted(found) == sorted(ids())
    export(manifest, "webdataset", tmp_path / "again", record=False)
    for path in result.files:
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()


def test_the_export_is_noted_in_the_manifest_and_a_run_directory_will_do(manifest, tmp_path):
    export(manifest.parent, "messages", tmp_path / "m.jsonl")
    noted = query(manifest, "SELECT run_id, selection, format, path, rows FROM exports")
    assert noted.to_pylist() == [
        {"run_id": "a", "selection": "small", "format": "messages",
         "path": str(tmp_path / "m.jsonl"), "rows": SAMPLES}
    ]  # fmt: skip


@pytest.mark.parametrize("format", sorted(FORMATS))
def test_an_output_in_the_way_is_refused_and_left_alone(manifest, tmp_path, format):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("x")
    (tmp_path / "file").write_text("mine")
    for name in ("full", "file"):
        with pytest.raises(UsageError, match="--output"):
            export(manifest, format, tmp_path / name)
    assert (tmp_path / "file").read_text() == "mine"
    empty = tmp_path / "empty"
    if FORMATS[format].folder:
        empty.mkdir()
    else:
        empty.touch()
    assert export(manifest, format, empty, record=False).rows == SAMPLES


def test_wrong_names_are_refused_with_what_is_there(manifest, tmp_path):
    with pytest.raises(UsageError, match="'tfrecord' is unknown; allowed: messages"):
        export(manifest, "tfrecord", tmp_path / "x")
    with pytest.raises(ManifestError, match=r"has no selection 'big'; it has small \(run a\)"):
        export(manifest, "messages", tmp_path / "x", "big")


@pytest.mark.parametrize("format", ["hf", "webdataset"])
def test_a_picture_that_is_gone_leaves_nothing_half_written(manifest, tmp_path, format):
    refs = query(manifest, "SELECT images[1].ref AS ref FROM samples WHERE sample_id = 'id4'")
    gone = Path(refs["ref"][0].as_py())
    data = gone.read_bytes()
    gone.unlink()
    try:
        with pytest.raises(InputError, match="sample id4: no file at"):
            export(manifest, format, tmp_path / "out")
    finally:
        gone.write_bytes(data)
    assert list(tmp_path.iterdir()) == []
    assert Image.open(io.BytesIO(data)).size == (8, 8)


@pytest.mark.parametrize("format", sorted(FORMATS))
def test_a_run_without_a_selection_says_so(tmp_path, format):
    empty = pa.schema(
        [("selection", pa.string()), ("rank", pa.int64()), ("sample_id", pa.string()),
         ("row_id", pa.string())]
    ).empty_table()  # fmt: skip
    write_manifest(tmp_path / "m", {"selections": empty}, RunRecord("a", "t", datetime(2026, 1, 1)))
    with pytest.raises(ManifestError, match="has no selection; it has none"):
        export(tmp_path / "m", format, tmp_path / "out")
