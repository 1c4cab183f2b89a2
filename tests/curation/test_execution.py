"""Items become whole parts or nothing, and a second pass repeats only what is missing."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from curation.errors import StorageError
from curation.execution import LocalExecutor
from curation.storage import count_rows, parts, read_folder

SCHEMA = pa.schema([("number", pa.int64())])


def squares(item):
    for number in item:
        yield {"squares": pa.table({"number": [number * number]}, schema=SCHEMA)}


def read(out: Path) -> list[int]:
    return read_folder(out / "squares", SCHEMA)["number"].to_pylist()


def test_parts_follow_the_order_of_items(tmp_path):
    LocalExecutor().stream([[3, 1], [2]], lambda: squares, tmp_path, lambda rows: None)
    assert read(tmp_path) == [9, 1, 4]


def test_progress_counts_every_row_once(tmp_path):
    seen: list[int] = []
    LocalExecutor().stream([[1, 2], [3]], lambda: squares, tmp_path, seen.append)
    assert seen == [2, 1]


def test_an_interrupted_stream_repeats_only_unfinished_items(tmp_path):
    calls: list[list[int]] = []

    def fails_on_two(item):
        calls.append(item)
        yield from squares(item)
        if item == [2]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        LocalExecutor().stream([[1], [2], [3]], lambda: fails_on_two, tmp_path, lambda rows: None)
    assert read(tmp_path) == [1], "the interrupted item must leave no part"

    def counts(item):
        calls.append(item)
        yield from squares(item)

    LocalExecutor().stream([[1], [2], [3]], lambda: counts, tmp_path, lambda rows: None)
    assert calls == [[1], [2], [2], [3]]
    assert read(tmp_path) == [1, 4, 9]


def test_a_disk_that_refuses_is_one_storage_error_and_leaves_no_part(tmp_path):
    (tmp_path / "squares").write_text("a file where a folder must go")
    with pytest.raises(StorageError, match="cannot write under"):
        LocalExecutor().stream([[1]], lambda: squares, tmp_path, lambda rows: None)
    assert not list(tmp_path.glob("finished/*"))


def test_no_items_make_no_worker(tmp_path):
    def explode():
        raise AssertionError("made a worker for nothing")

    LocalExecutor().stream([], explode, tmp_path, lambda rows: None)
    assert parts(tmp_path / "squares") == []
    assert count_rows(tmp_path / "squares") == 0
