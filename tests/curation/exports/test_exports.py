"""What holds for every format: nothing half-written, nothing replaced, and a note of it."""

from __future__ import annotations

import io
import shutil
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pytest
from PIL import Image

from curation.exports import FORMATS
from curation.exports.write_export import export
from medsift.manifest import RunRecord, read, write_manifest
from tests.expect import raises_code

EVERY = pytest.mark.parametrize("format", FORMATS)


def tree(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


@EVERY
def test_the_same_selection_gives_the_same_bytes(manifest, tmp_path, format):
    trees = []
    for _ in range(2):
        # In one place: where the pictures of DICOM files lie is part of what names them.
        (tmp_path / "a").mkdir()
        result = export(manifest, format, tmp_path / "a" / "out", record=False)
        trees.append(tree(tmp_path / "a"))
        assert all(path.is_file() for path in result.files)
        assert {path for path in (tmp_path / "a").rglob("*") if path.is_file()} == {*result.files}
        shutil.rmtree(tmp_path / "a")
    assert trees[0] == trees[1]


def test_the_export_is_noted_in_the_manifest_and_a_run_directory_will_do(manifest, tmp_path):
    shutil.copy(manifest, tmp_path / "manifest.duckdb")
    export(tmp_path, "messages", tmp_path / "m.jsonl")
    noted = read(
        tmp_path / "manifest.duckdb", "SELECT run_id, selection, format, path, rows FROM exports"
    )
    assert noted.to_pylist() == [
        {"run_id": "run-a", "selection": "small", "format": "messages",
         "path": str(tmp_path / "m.jsonl"), "rows": 9}
    ]  # fmt: skip


@EVERY
def test_an_output_in_the_way_is_refused_and_left_alone(manifest, tmp_path, format):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("x")
    (tmp_path / "file").write_text("mine")
    for name in ("full", "file"):
        with raises_code("export_output_in_the_way", path=str(tmp_path / name)):
            export(manifest, format, tmp_path / name)
    assert tree(tmp_path) == {"full/mine": b"x", "file": b"mine"}
    empty = tmp_path / "empty"
    if format in ("hf", "llama_factory", "webdataset"):
        empty.mkdir()
    else:
        empty.touch()
    assert export(manifest, format, empty, record=False).rows == 9


def test_metadata_that_describes_no_file_any_more_is_replaced(manifest, tmp_path):
    (tmp_path / "out.croissant.json").write_text("{}")
    export(manifest, "parquet", tmp_path / "out", record=False)
    assert (tmp_path / "out.croissant.json").stat().st_size > 1000


def test_wrong_names_are_refused_with_what_is_there(manifest, tmp_path):
    with raises_code("export_format_unknown", format="tfrecord", known=list(FORMATS)):
        export(manifest, "tfrecord", tmp_path / "x")
    with raises_code("selection_unknown", selection="big", known=["small (run run-a)"]):
        export(manifest, "messages", tmp_path / "x", "big")


@pytest.mark.parametrize("format", ["hf", "llama_factory", "openai", "webdataset"])
@pytest.mark.parametrize("code", ["export_picture_missing", "export_picture_unreadable"])
def test_a_picture_that_is_gone_leaves_nothing_half_written(manifest, tmp_path, format, code):
    refs = read(manifest, "SELECT images[1].ref AS ref FROM samples WHERE sample_id = 'id4'")
    there = Path(refs["ref"][0].as_py())
    data = there.read_bytes()
    there.unlink() if code == "export_picture_missing" else there.write_text("words")
    try:
        with raises_code(code, sample="id4"):
            export(manifest, format, tmp_path / "out")
    finally:
        there.write_bytes(data)
    assert list(tmp_path.iterdir()) == []
    assert Image.open(io.BytesIO(data)).size == (8, 8)


@EVERY
def test_a_disk_that_refuses_leaves_nothing_half_written(manifest, tmp_path, format, monkeypatch):
    def refuse(path: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", refuse)
    with raises_code("output_unwritable", path=str(tmp_path / "out")):
        export(manifest, format, tmp_path / "out", record=False)
    assert list(tmp_path.iterdir()) == []


@EVERY
def test_a_run_without_a_selection_says_so(tmp_path, format):
    empty = pa.schema(
        [("selection", pa.string()), ("rank", pa.int64()), ("sample_id", pa.string()),
         ("row_id", pa.string())]
    ).empty_table()  # fmt: skip
    write_manifest(tmp_path / "m", {"selections": empty}, RunRecord("a", "t", datetime(2026, 1, 1)))
    with raises_code("selection_unknown", selection=None, known=[]):
        export(tmp_path / "m", format, tmp_path / "out")
