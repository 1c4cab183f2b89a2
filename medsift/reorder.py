"""Sort or pick the rows of a table of any size in bytes.

Arrow's usual text and binary arrays count bytes in 32 bits: joining chunks or taking rows across
them fails above 2 GiB. Here rows move in arrays that count in 64 bits, and are returned in chunks
of the usual types that are each well below that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from medsift.arrays import Indices

CHUNK_BYTES: Final = 512 << 20
Key = tuple[str, str]


def sorted_rows(table: pa.Table, keys: Sequence[str], chunk_bytes: int = CHUNK_BYTES) -> pa.Table:
    """Return `table` in ascending order of columns `keys`, stable, in chunks of `taken_rows`."""
    order: list[Key] = [(key, "ascending") for key in keys]
    columns = widened(table.select(list(dict.fromkeys(keys))))
    return taken_rows(table, pc.sort_indices(columns, sort_keys=order), chunk_bytes)


def taken_rows(table: pa.Table, places: Any, chunk_bytes: int = CHUNK_BYTES) -> pa.Table:
    """Return the rows at `places` (integers) in their order; a place may be given repeatedly.

    A result below `chunk_bytes` has one chunk, a larger one several.
    """
    indices = places if isinstance(places, pa.Array) else pa.array(places, pa.int64())
    if table.nbytes < chunk_bytes and len(indices) <= table.num_rows:
        return table.take(indices).combine_chunks()
    numbers = indices.to_numpy(zero_copy_only=False).astype(np.int64)
    if not indices.null_count and (np.diff(numbers) > 0).all():
        return _in_order(table, numbers)
    # One copy in arrays that can hold it all; every piece is then taken from that at once.
    whole = widened(table).combine_chunks()
    rows = max(1, table.num_rows * chunk_bytes // max(table.nbytes, 1))
    pieces = [
        piece.cast(table.schema)
        for start in range(0, len(indices), rows)
        for piece in _taken(whole, indices.slice(start, rows), chunk_bytes)
    ]
    return pa.concat_tables(pieces) if pieces else table.schema.empty_table()


def _in_order(table: pa.Table, places: Indices) -> pa.Table:
    """Return the rows at ascending places, chunk by chunk: no chunk is copied as a whole."""
    pieces, start = [table.schema.empty_table()], 0
    for batch in table.to_batches():
        first, stop = np.searchsorted(places, [start, start + batch.num_rows])
        if stop > first:
            pieces.append(pa.Table.from_batches([batch.take(pa.array(places[first:stop] - start))]))
        start += batch.num_rows
    return pa.concat_tables(pieces)


def ranked(encoded: pa.DictionaryArray) -> Indices:
    """Return the place (n,) of each value among the distinct ones in their order."""
    order = pc.sort_indices(encoded.dictionary).to_numpy()
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return np.asarray(rank[encoded.indices.to_numpy()])


def widened(table: pa.Table) -> pa.Table:
    """Return `table` with 64-bit offsets in every text and binary column, nested ones too."""
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
    """Yield the rows at `indices` in order; a piece above `chunk_bytes` is one single row.

    A piece owns its bytes, because a cast reads the whole array and not a slice of it.
    """
    piece = table.take(indices)
    if piece.nbytes <= chunk_bytes or len(indices) == 1:
        yield piece
        return
    half = len(indices) // 2
    yield from _taken(table, indices.slice(0, half), chunk_bytes)
    yield from _taken(table, indices.slice(half), chunk_bytes)
