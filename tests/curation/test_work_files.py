"""Work is cut into whole batches: many small parts of a small pool, few large ones of a large."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.stages.work_files import PART_BYTES, PARTS_TO_SHARE, WorkFolder, rows_per_part
from tests.expect import raises_code

SIZES = st.integers(1, 10**8), st.integers(1, 2_000), st.integers(1, 1 << 20)


@given(*SIZES)
def test_parts_are_whole_batches_and_neither_too_large_nor_too_many(rows, batch, row_bytes):
    size = rows_per_part(rows, batch, row_bytes)
    assert size % batch == 0
    assert size == batch or size * row_bytes <= PART_BYTES
    # Twice as many parts as workers are to share, or parts that are at least half full.
    parts = -(-rows // size)
    full = (size + batch) * row_bytes > PART_BYTES
    assert full or parts <= 2 * PARTS_TO_SHARE + 1


def test_a_million_pictures_are_a_hundred_files_and_a_thousand_are_shared_by_batches():
    assert 1_000_000 // rows_per_part(1_000_000, 64, 8_192) < 200
    assert rows_per_part(1_000, 64, 8_192) == 64


def test_a_folder_of_work_gives_its_rows_back_and_items_are_equal_for_equal_rows(tmp_path: Path):
    schema = pa.schema([("ref", pa.string())])
    tables = [pa.table({"ref": ["a", "b"]}), pa.table({"ref": ["c"]})]
    items = WorkFolder(tmp_path / "one").write(tables, schema)
    again = WorkFolder(tmp_path / "two").write(tables, schema)
    assert items == again
    assert [item.rows for item in items] == [2, 1]
    other = WorkFolder(tmp_path / "three").write([pa.table({"ref": ["a", "x"]})], schema)
    assert other[0] != items[0]
    work = WorkFolder(tmp_path / "one")
    assert [table["ref"].to_pylist() for table in work.read_all(items)] == [["a", "b"], ["c"]]
    work.remove(items)
    with raises_code("stage_damaged"):
        work.read(items[0])


@pytest.mark.parametrize("rows", [1, 2, 3, 7, 100])
def test_a_query_comes_in_tables_of_the_size_asked_for(tmp_path: Path, rows: int):
    from curation.joins import joining, read_tables_of

    with joining(tmp_path / "join") as db:
        query = "SELECT range AS n FROM range(7) ORDER BY n"
        tables = list(read_tables_of(db, query, rows))
    assert [n for table in tables for n in table["n"].to_pylist()] == list(range(7))
    assert [table.num_rows for table in tables[:-1]] == [rows] * (len(tables) - 1)
    assert 0 < tables[-1].num_rows <= rows
