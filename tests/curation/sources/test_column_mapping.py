"""Expressions that fail, and names that SQL reads as words of its own."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.sources.column_mapping import Mapper
from curation.sources.record_batches import Batch
from curation.sources.table import TableReader
from medsift.errors import RecipeError
from medsift.images.blob_store import BlobStore


def rows_of(path, **settings):
    reader = TableReader(name="s", path=str(path), **settings)
    blobs = BlobStore(Path(path).parent / "blobs")
    return pa.concat_tables(
        table for shard in reader.shards() for table in reader.read(shard, blobs)
    ).to_pylist()


@settings(deadline=None, max_examples=40)
@given(st.lists(st.sampled_from(["1", "x", None, "2", "", "7"]), min_size=1, max_size=40))
def test_rows_that_an_expression_fails_on_are_those_it_fails_on_alone(cells):
    # The second shares a part with the first: each must be tried on its own.
    columns = {
        "question": "CAST(n AS INT)",
        "answer": "CAST(n AS INT) + CAST(n AS INT)",
        "k": "CASE WHEN n = '7' THEN CAST('no' AS INT) END",
    }
    mapper = Mapper(columns)
    indexes = [10 + at for at in range(len(cells))]
    found = mapper.map(Batch(indexes, pa.table({"n": pa.array(cells, pa.string())})))
    alone = [
        bool(mapper.map(Batch([at], pa.table({"n": pa.array([cell], pa.string())}))).bad)
        for at, cell in enumerate(cells)
    ]
    assert [bad.index for bad in found.bad] == [
        10 + at for at, failed in enumerate(alone) if failed
    ]
    assert list(found.indexes) == [10 + at for at, failed in enumerate(alone) if not failed]
    expected = [cell for cell, failed in zip(cells, alone, strict=True) if not failed]
    wanted = [None if cell is None else str(int(cell)) for cell in expected]
    assert list(found.values.get("question", ())) == wanted


def test_failing_rows_cost_no_statement_each(monkeypatch):
    asked = []
    query = Mapper._query
    monkeypatch.setattr(Mapper, "_query", lambda self, table: asked.append(1) or query(self, table))
    counts = []
    for rows in (100, 1_600):
        cells = pa.table({"n": pa.array(["1", "x"] * (rows // 2))})
        asked.clear()
        found = Mapper({"question": "CAST(n AS INT)"}).map(Batch(list(range(rows)), cells))
        assert [bad.index for bad in found.bad] == list(range(1, rows, 2))
        counts.append(len(asked))
    assert counts[0] == counts[1] < 5


def test_a_failed_expression_names_its_target_and_the_values_it_was_given(tmp_path):
    path = tmp_path / "x.jsonl"
    rows = [{"question": "q", "answer": "a", "n": n} for n in ("1", "x" * 500)]
    path.write_text("\n".join(map(json.dumps, rows)))
    _, bad = rows_of(path, columns={"k": "CAST(n AS INT)"})
    assert bad["error"] == "mapping_failed"
    assert bad["detail"].startswith("columns.k = 'CAST(n AS INT)' fails on n = 'xxx")
    assert len(bad["detail"]) < 200


@pytest.mark.parametrize("name", ["order", "group", "the question", "first-name", "select", "end"])
def test_a_name_that_sql_does_not_read_is_answered_with_how_to_write_it(tmp_path, name):
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps({name: "q", "answer": "a"}))
    with pytest.raises(RecipeError) as caught:
        rows_of(path, columns={"question": name})
    said = str(caught.value)
    assert said.startswith("columns.question")
    assert "\n" not in said
    hint = f'"{name}"'
    assert f"write '{hint}'" in said
    (row,) = rows_of(path, columns={"question": hint})
    assert row["messages"][0]["content"] == "q"
