"""Parquet: cut by row groups, read by columns, types kept."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from curation.sources.arrow_values import is_bytes
from curation.sources.files import InputFile
from curation.sources.jsonfiles import LINE_BYTES
from curation.sources.reader import Shard
from curation.sources.record_batches import BATCH_BYTES, BATCH_ROWS, Bad, Batch, read_columns
from medsift.errors import InputError
from medsift.storage.locations import open_input

STEP_ROWS: Final = 64
"""Rows that are decoded at a time; more are hardly faster, and each may be large."""


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


def batches(shard: Shard, columns: Collection[str], most: int = LINE_BYTES) -> Iterator[Batch]:
    """Yield the rows of a shard's row groups, with the top-level `columns` that are wanted.

    A row with more than `most` bytes besides its pictures becomes an unreadable record.
    """
    index = shard.first_index
    with open_parquet(shard.uri) as parquet:
        chosen = read_columns(columns, parquet.schema_arrow.names)
        groups = list(range(shard.start, shard.stop))
        parts = [parquet.metadata.row_group(at) for at in groups]
        heaviest = max([1, *(part.total_byte_size // max(part.num_rows, 1) for part in parts)])
        rows = min(STEP_ROWS, max(1, BATCH_BYTES // heaviest))
        try:
            steps = parquet.iter_batches(rows, row_groups=groups, columns=chosen)
            for table in _gathered(steps):
                if _is_read(table, most):
                    yield _checked(table, range(index, index + table.num_rows))
                else:
                    detail = f"more than {most:,} bytes (line_bytes)"
                    yield Batch([], table[:0], [Bad(index, "record_too_long", detail)])
                index += table.num_rows
        except (pa.ArrowException, OSError) as error:
            words = f"{shard.file}: broken Parquet data after row {index}: {_line(error)}"
            values = {"file": shard.file, "format": "parquet", "row": index}
            raise InputError(words, code="file_broken", **values) from error


def _gathered(steps: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Join steps to tables of at most `BATCH_ROWS` rows and, unless of one row, `BATCH_BYTES`.

    The footer does not say how large rows are: a value that stands in every row is there once.
    Only what was decoded can be measured.
    """
    waiting: list[pa.RecordBatch] = []
    rows = size = 0
    for part in (part for step in steps for part in _halves(_plain(step))):
        if waiting and (rows + part.num_rows > BATCH_ROWS or size + part.nbytes > BATCH_BYTES):
            yield pa.Table.from_batches(waiting)
            waiting, rows, size = [], 0, 0
        waiting.append(part)
        rows, size = rows + part.num_rows, size + part.nbytes
    if waiting:
        yield pa.Table.from_batches(waiting)


def _halves(step: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Yield parts of at most `BATCH_BYTES`, or of one row."""
    if step.nbytes <= BATCH_BYTES or step.num_rows == 1:
        yield step
        return
    middle = step.num_rows // 2
    yield from _halves(step.slice(0, middle))
    yield from _halves(step.slice(middle))


def _plain(step: pa.RecordBatch) -> pa.RecordBatch:
    """Return the rows with the value itself where a column has its place in a dictionary."""
    for place, field in enumerate(step.schema):
        if pa.types.is_dictionary(field.type):
            values = step.column(place).cast(field.type.value_type)
            step = step.set_column(place, field.name, values)
    return step


def _is_read(table: pa.Table, most: int) -> bool:
    """Return whether a table is no single row that is too long. Pictures have their own limit."""
    if table.num_rows > 1 or table.nbytes <= most:
        return True
    texts: int = sum(one.nbytes for one in table.columns if not _holds_bytes(one.type))
    return texts <= most


def _holds_bytes(kind: pa.DataType) -> bool:
    if is_bytes(kind):
        return True
    return any(_holds_bytes(kind.field(place).type) for place in range(kind.num_fields))


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
