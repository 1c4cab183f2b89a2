"""Parquet: cut by row groups, read by columns, types kept."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from curation.sources.files import InputFile
from curation.sources.reader import Shard
from curation.sources.record_batches import BATCH_BYTES, BATCH_ROWS, Bad, Batch, read_columns
from medsift.errors import InputError
from medsift.storage.locations import open_input


def open_parquet(uri: str) -> Any:
    """Open a Parquet file by its footer. Raises InputError when it is not one."""
    try:
        return pq.ParquetFile(pa.PythonFile(open_input(uri), "r"))
    except (pa.ArrowException, OSError) as error:
        words = f"{uri}: not a readable Parquet file: {_line(error)}"
        raise InputError(words, code="file_broken", file=uri, format="parquet") from error


def group_shards(file: InputFile, shard_bytes: int) -> list[Shard]:
    """Cut a Parquet file into runs of row groups of about `shard_bytes` decoded bytes."""
    with open_parquet(file.uri) as parquet:
        groups = [parquet.metadata.row_group(at) for at in range(parquet.num_row_groups)]
        sizes = [(group.num_rows, group.total_byte_size) for group in groups]
    shards: list[Shard] = []
    start = first = rows = size = 0
    for stop, (group_rows, group_size) in enumerate(sizes, 1):
        rows, size = rows + group_rows, size + group_size
        if rows and (size >= shard_bytes or stop == len(sizes)):
            shards.append(Shard(file.name, file.uri, start, stop, first))
            start, first, rows, size = stop, first + rows, 0, 0
    return shards


def batches(shard: Shard, columns: Collection[str]) -> Iterator[Batch]:
    """Yield the rows of a shard's row groups, with the top-level `columns` that are wanted."""
    index = shard.first_index
    with open_parquet(shard.uri) as parquet:
        chosen = read_columns(columns, parquet.schema_arrow.names)
        groups = list(range(shard.start, shard.stop))
        # Embedded pictures make rows heavy: a batch is bounded in bytes as well as in rows.
        parts = [parquet.metadata.row_group(at) for at in groups]
        heaviest = max([1, *(part.total_byte_size // max(part.num_rows, 1) for part in parts)])
        rows = min(BATCH_ROWS, max(1, BATCH_BYTES // heaviest))
        try:
            for part in parquet.iter_batches(rows, row_groups=groups, columns=chosen):
                table = pa.Table.from_batches([part])
                yield _checked(table, range(index, index + part.num_rows))
                index += part.num_rows
        except (pa.ArrowException, OSError) as error:
            words = f"{shard.file}: broken Parquet data after row {index}: {_line(error)}"
            values = {"file": shard.file, "format": "parquet", "row": index}
            raise InputError(words, code="file_broken", **values) from error


def _checked(table: pa.Table, indexes: range) -> Batch:
    """Return the rows as a batch; rows whose text is not UTF-8 become unreadable records."""
    try:
        table.validate(full=True)
        return Batch(indexes, table)
    except pa.ArrowInvalid:
        pass
    good: list[int] = []
    bad: list[Bad] = []
    for row, index in enumerate(indexes):
        # A slice validates its whole buffer, so each row is copied out first.
        try:
            table.take([row]).validate(full=True)
            good.append(row)
        except pa.ArrowInvalid as error:
            bad.append(Bad(index, "not_utf8", _line(error)))
    return Batch([indexes[row] for row in good], table.take(good), bad)


def _line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]
