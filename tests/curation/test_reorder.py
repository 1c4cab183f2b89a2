"""Rows in another order are the rows that a plain take gives, whatever the chunks' limit."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medsift import records
from medsift.reorder import sorted_rows, taken_rows, widened

TURN = pa.struct([("role", pa.string()), ("content", pa.string())])


def table(rows: int, chunks: int, seed: int = 0) -> pa.Table:
    random = np.random.default_rng(seed)
    lines = [
        {
            "row": f"r{int(random.integers(rows * 2)):04d}",
            "number": row,
            "thumb": random.bytes(int(random.integers(40))),
            "messages": [
                {"role": "user", "content": "x" * int(random.integers(30))}
                for _ in range(int(random.integers(3)))
            ],
            "tags": None if row % 3 == 0 else ["a", str(row)],
        }
        for row in range(rows)
    ]
    schema = pa.schema(
        [
            ("row", pa.string()),
            ("number", pa.int64()),
            ("thumb", pa.binary()),
            ("messages", pa.list_(TURN)),
            ("tags", pa.list_(pa.string())),
        ]
    )
    whole = pa.Table.from_pylist(lines, schema=schema)
    bounds = np.linspace(0, rows, chunks + 1).astype(int)
    pieces = [whole.slice(a, b - a) for a, b in pairwise(bounds)]
    return pa.concat_tables(pieces)


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(0, 40),
    chunks=st.integers(1, 4),
    limit=st.sampled_from([1, 100, 1_000, 1 << 29]),
    seed=st.integers(0, 5),
)
def test_small_chunks_give_what_one_take_gives(rows, chunks, limit, seed):
    given_table = table(rows, chunks, seed)
    expected = given_table.sort_by([("row", "ascending"), ("number", "ascending")])
    found = sorted_rows(given_table, ["row", "number"], limit)
    assert found.schema == given_table.schema
    assert found.equals(expected)
    places = np.random.default_rng(seed).integers(0, rows, 2 * rows) if rows else []
    taken = taken_rows(given_table, places, limit)
    assert taken.equals(given_table.take(pa.array(places, pa.int64())))
    some = np.flatnonzero(np.random.default_rng(seed).random(rows) < 0.5)
    assert taken_rows(given_table, some, limit).equals(given_table.take(pa.array(some)))


def test_the_chunks_of_a_large_result_stay_below_the_limit():
    found = sorted_rows(table(400, 3), ["row"], 4_000)
    sizes = [batch.nbytes for batch in found.to_batches()]
    assert len(sizes) > 5
    assert max(sizes) <= 4_000


@pytest.mark.parametrize("schema", [records.SAMPLES, records.IMAGES])
def test_no_text_or_binary_of_our_tables_keeps_narrow_offsets(schema):
    wide = widened(schema.empty_table()).schema
    narrow = [t for t in _types(wide) if pa.types.is_string(t) or pa.types.is_binary(t)]
    assert not narrow
    assert widened(schema.empty_table()).cast(schema).schema == schema


def _types(schema):
    def inside(kind):
        yield kind
        for place in range(kind.num_fields):
            yield from inside(kind.field(place).type)

    return [kind for field in schema for kind in inside(field.type)]
