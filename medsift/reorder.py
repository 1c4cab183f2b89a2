"""Rows of a table in another order, however many bytes of text or pictures they hold.

Arrow's usual text and binary arrays count bytes in 32 bits: joining chunks or taking rows across
them ends with an error past 2 GiB. Here rows move in arrays that count in 64 bits, and come back
in chunks of the usual types that are each well below that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

CHUNK_BYTES: Final = 512 << 20
Key = tuple[str, str]


def sorted_rows(table: pa.Table, keys: Sequence[str], chunk_bytes: int = CHUNK_BYTES) -> pa.Table:
    """`table` in ascending order of the columns `keys`, first by the first; a stable sort.

    A table below `chunk_bytes` has one chunk afterwards, a larger one several.
    """
    order: list[Key] = [(key, "ascending") for key in keys]
    columns = widened(table.select(list(dict.fromkeys(keys))))
    return taken_rows(table, pc.sort_indices(columns, sort_keys=order), chunk_bytes)


def taken_rows(table: pa.Table, places: Any, chunk_bytes: int = CHUNK_BYTES) -> pa.Table:
    """The rows at `places` (integers) in their order, a place as often as it is given.

    A result below `chunk_bytes` has one chunk, a larger one several.
    """
    indices = places if isinstance(places, pa.Array) else pa.array(places, pa.int64())
    if table.nbytes < chunk_bytes and len(indices) <= table.num_rows:
        return table.take(indices).combine_chunks()
    # One copy in arrays that can hold it all; every piece is then taken from that at once.
    whole = widened(table).combine_chunks()
    rows = max(1, table.num_rows * chunk_bytes // max(table.nbytes, 1))
    pieces = [
        piece.cast(table.schema)
        for start in range(0, len(indices), rows)
        for piece in _taken(whole, indices.slice(start, rows), chunk_bytes)
    ]
    return pa.concat_tables(pieces) if pieces else table.schema.empty_table()


def widened(table: pa.Table) -> pa.Table:
    """`table` with 64-bit offsets in every text and binary column, nested ones too."""
    fields = [field.with_type(_wide(field.type)) for field in table.schema]
    return table.cast(pa.schema(fields, table.schema.metadata))


def _wide(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_string(kind):
        return pa.large_string()
    if pa.types.is_binary(kind):
        return pa.large_binary()
    if pa.types.is_list(kind):
        return pa.list_(kind.value_field.with_type(_wide(kind.value_type)))
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_wide(field.type)) for field in kind])
    return kind


def _taken(table: pa.Table, indices: pa.Array, chunk_bytes: int) -> Iterator[pa.Table]:
    """The rows at `indices` in order, in pieces of which none above `chunk_bytes` has two rows.

    A piece owns its bytes: a cast looks at all that an array holds, not at a slice of it.
    """
    piece = table.take(indices)
    if piece.nbytes <= chunk_bytes or len(indices) == 1:
        yield piece
        return
    half = len(indices) // 2
    yield from _taken(table, indices.slice(0, half), chunk_bytes)
    yield from _taken(table, indices.slice(half), chunk_bytes)
