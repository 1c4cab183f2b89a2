"""Parquet files of a few bytes that mean gigabytes: what is read at a time stays bounded."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.sources import parquetfiles
from curation.sources.files import InputFile
from curation.sources.record_batches import BATCH_BYTES, BATCH_ROWS, Batch

ROWS = 200
LARGE = "a" * (1 << 20)


def batches(path: Path, most: int = parquetfiles.LINE_BYTES) -> list[Batch]:
    file = InputFile(path.name, str(path), path.stat().st_size)
    return [
        batch
        for shard in parquetfiles.group_shards(file, 1 << 30)
        for batch in parquetfiles.batches(shard, ["question", "answer"], most)
    ]


def repeated(kind: str) -> pa.Array:
    """One large value in every row, in the ways that Parquet stores it once."""
    places = pa.array([0] * ROWS, pa.int32())
    if kind == "dictionary type":
        return pa.DictionaryArray.from_arrays(places, pa.array([LARGE]))
    return pa.array([LARGE] * ROWS)


@pytest.mark.parametrize("kind", ["dictionary type", "dictionary page", "delta"])
def test_a_value_that_stands_in_every_row_is_read_in_bounded_batches(kind, tmp_path):
    path = tmp_path / "bomb.parquet"
    table = pa.table({"question": repeated(kind), "answer": ["b"] * ROWS})
    delta = {"use_dictionary": False, "column_encoding": {"question": "DELTA_BYTE_ARRAY"}}
    pq.write_table(table, path, compression="zstd", **(delta if kind == "delta" else {}))
    assert path.stat().st_size < ROWS * len(LARGE) / 1_000
    rows = []
    for batch in batches(path):
        assert batch.table.nbytes <= BATCH_BYTES
        assert batch.table.schema.field("question").type == pa.string()
        assert set(batch.table["question"].to_pylist()) == {LARGE}
        rows += batch.indexes
    assert rows == list(range(ROWS))


def test_a_row_that_is_too_long_fails_alone_and_pictures_do_not_count(tmp_path, monkeypatch):
    monkeypatch.setattr(parquetfiles, "BATCH_BYTES", 10_000)
    texts = ["a" * 5_000, "b" * 30_000, "c"]
    pictures = [{"bytes": b"x" * 50_000, "path": None}, None, None]
    table = pa.table({"question": texts, "answer": ["d"] * 3, "image": pictures})
    pq.write_table(table, tmp_path / "rows.parquet")
    read = batches(tmp_path / "rows.parquet", 20_000)
    kept = [text for one in read for text in one.table["question"].to_pylist()]
    assert kept == [texts[0], "c"]
    assert [at for one in read for at in one.indexes] == [0, 2]
    assert [(bad.index, bad.error) for one in read for bad in one.bad] == [(1, "record_too_long")]


def test_ordinary_rows_come_in_whole_batches(tmp_path):
    count = 2 * BATCH_ROWS + 7
    table = pa.table({"question": [f"q{at}" for at in range(count)], "answer": ["a"] * count})
    pq.write_table(table, tmp_path / "rows.parquet")
    read = batches(tmp_path / "rows.parquet")
    assert len(read) == 3
    assert pa.concat_tables(one.table.select(table.column_names) for one in read) == table
    assert [at for one in read for at in one.indexes] == list(range(count))
