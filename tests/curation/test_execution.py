"""Items become whole parts or nothing, and a second pass repeats only what is missing."""

from __future__ import annotations

import pickle
from contextlib import suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medsift.execution import LocalExecutor, begin_stream, pack, spent_seconds
from medsift.storage.parts import count_rows, parts, read_folder
from tests.expect import raises_code
from tests.fakes import Killed

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
    with raises_code("disk_refused", path=str(tmp_path)):
        LocalExecutor().stream([[1]], lambda: squares, tmp_path, lambda rows: None)
    assert not list(tmp_path.glob("finished/*"))


def test_no_items_make_no_worker(tmp_path):
    def explode():
        raise AssertionError("made a worker for nothing")

    LocalExecutor().stream([], explode, tmp_path, lambda rows: None)
    assert parts(tmp_path / "squares") == []
    assert count_rows(tmp_path / "squares") == 0


def damage(path: Path, how: str) -> None:
    """Make a file empty, cut it short, flip a bit of it, or remove it."""
    data = path.read_bytes()
    flipped = bytearray(data)
    flipped[len(data) // 2] ^= 16
    match how:
        case "empty":
            path.write_bytes(b"")
        case "cut":
            path.write_bytes(data[: len(data) // 2])
        case "flipped":
            path.write_bytes(flipped)
        case _:
            path.unlink()


@pytest.mark.parametrize("how", ["empty", "cut", "flipped", "gone"])
@pytest.mark.parametrize("name", ["squares/part-000001.parquet", "finished/part-000001.json"])
def test_a_damaged_part_or_marker_is_worked_again_and_nothing_else(tmp_path, name, how):
    calls: list[list[int]] = []

    def counts(item):
        calls.append(item)
        yield from squares(item)

    def run():
        LocalExecutor().stream([[1], [2], [3]], lambda: counts, tmp_path, lambda rows: None)

    run()
    damage(tmp_path / name, how)
    run()
    assert calls == [[1], [2], [3], [2]]
    assert read(tmp_path) == [1, 4, 9]


@pytest.mark.parametrize("how", ["empty", "cut", "gone"])
def test_a_damaged_plan_begins_the_stream_again(tmp_path, how):
    LocalExecutor().stream([[1], [2]], lambda: squares, tmp_path, lambda rows: None)
    damage(tmp_path / "plan.json", how)
    LocalExecutor().stream([[1], [2]], lambda: squares, tmp_path, lambda rows: None)
    assert read(tmp_path) == [1, 4]


def slices(rows: int, size: int) -> list[pa.Table]:
    """A table cut into pieces that still share its buffers."""
    whole = pa.table({"name": [f"picture {row}" * 4 for row in range(rows)], "number": range(rows)})
    return [whole.slice(start, size) for start in range(0, rows, size)]


def test_a_packed_slice_carries_its_own_rows_alone(tmp_path):
    few, many = slices(640, 64), slices(6_400, 64)
    assert [pickle.loads(pack(piece)).equals(piece) for piece in few] == [True] * 10
    assert len(pack(many[50])) < 1.1 * len(pack(few[5]))
    assert sum(len(pack(piece)) for piece in many) < 11 * sum(len(pack(piece)) for piece in few)
    nested = ("label", [many[3], {"table": many[4]}])
    assert len(pack(nested)) < 3 * len(pack(many[3]))
    back = pickle.loads(pack(nested))
    assert back[1][1]["table"].equals(many[4])


def test_the_plan_knows_the_rows_of_a_slice_and_not_the_table_around_it(tmp_path):
    begin_stream(slices(128, 64)[:1], tmp_path)
    before = (tmp_path / "plan.json").read_bytes()
    begin_stream(slices(640, 64)[:1], tmp_path)
    assert (tmp_path / "plan.json").read_bytes() == before
    begin_stream(slices(640, 64)[1:2], tmp_path)
    assert (tmp_path / "plan.json").read_bytes() != before


def dies_after(groups: int):
    """Return a worker that dies before it has yielded one more than `groups` groups of tables."""
    left = groups

    def worker(item):
        nonlocal left
        for tables in squares(item):
            if left == 0:
                raise Killed
            left -= 1
            yield tables

    return worker


@settings(max_examples=60, deadline=None)
@given(
    numbers=st.lists(st.integers(0, 9), min_size=1, max_size=8),
    sizes=st.lists(st.integers(1, 4), min_size=2, max_size=4),
    kills=st.lists(st.integers(0, 8), max_size=4),
)
def test_killed_anywhere_and_cut_otherwise_equals_uninterrupted(numbers, sizes, kills):
    """Kill at every group of tables, then start again with the same or with other items."""

    def cut(size):
        return [numbers[start : start + size] for start in range(0, len(numbers), size)]

    with TemporaryDirectory() as folder:
        out = Path(folder)
        for attempt, groups in enumerate(kills):
            items = cut(sizes[attempt % len(sizes)])
            with suppress(Killed):
                LocalExecutor().stream(items, partial(dies_after, groups), out, lambda rows: None)
        LocalExecutor().stream(cut(sizes[-1]), lambda: squares, out, lambda rows: None)
        assert read(out) == [number * number for number in numbers]
        assert not list(out.rglob("*.partial"))


def test_seconds_that_workers_count_are_added_up_also_of_items_done_earlier(tmp_path):
    class Counting:
        def __init__(self) -> None:
            self.spent: dict[str, float] = {}

        def __call__(self, item):
            self.spent = {"works": float(item[0]), "waits": 0.5}
            yield from squares(item)

    run = partial(LocalExecutor().stream, [[1], [2], [4]], out=tmp_path, advance=lambda rows: None)
    run(make=Counting)
    assert spent_seconds(tmp_path) == {"works": 7.0, "waits": 1.5}
    run(make=Counting)
    assert spent_seconds(tmp_path) == {"works": 7.0, "waits": 1.5}


def test_a_worker_that_counts_no_seconds_has_spent_none(tmp_path):
    LocalExecutor().stream([[1]], lambda: squares, tmp_path, lambda rows: None)
    assert spent_seconds(tmp_path) == {}
