"""Read the samples that are left: written once, then changed and dropped by what stages noted.

The first stage writes the samples. A later stage never copies them: its `updates` say which columns
it set, its `decisions` which rows it dropped or failed. This is the one place that puts them
together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.compute as pc

from curation.stage_outputs import UPDATES, StageOutputs, Upstream
from medsift import records
from medsift.storage.parts import write_table


def read_samples(
    upstream: Upstream, columns: Sequence[str] | None = None, *, left: Upstream | None = None
) -> pa.Table:
    """Return the samples that no stage dropped or failed, in the order in which they were read.

    Args:
        upstream: The finished stages, whose updates are put in.
        columns: Columns of ``SAMPLES``; all when not given.
        left: The stages whose decisions count; those of `upstream` when not given.
    """
    names = records.SAMPLES.names if columns is None else list(columns)
    table = _first(upstream).samples.read(_with_row_id(names))
    return _current(table, names, upstream, upstream if left is None else left)


def sample_parts(
    upstream: Upstream, columns: Sequence[str] | None = None, *, left: Upstream | None = None
) -> Iterator[pa.Table]:
    """Yield what `read_samples` returns, one table for each file of samples."""
    names = records.SAMPLES.names if columns is None else list(columns)
    for table in _first(upstream).samples.read_parts(_with_row_id(names)):
        yield _current(table, names, upstream, upstream if left is None else left)


class WrittenSamples:
    """Files of the samples that are left, for readers that take files alone; then removed.

    A pool of any size passes through them one part at a time.
    """

    def __init__(self, upstream: Upstream, folder: Path, *, left: Upstream | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = TemporaryDirectory(dir=folder, prefix=".samples-", suffix=".partial")
        for ordinal, table in enumerate(sample_parts(upstream, left=left)):
            write_table(table, Path(self._folder.name) / f"part-{ordinal:06d}.parquet")

    def __enter__(self) -> Path:
        return Path(self._folder.name)

    def __exit__(self, *error: object) -> None:
        self._folder.cleanup()


def _first(upstream: Upstream) -> StageOutputs:
    return next(iter(upstream.values()))


def _with_row_id(names: Sequence[str]) -> list[str]:
    return list(dict.fromkeys([*names, "row_id"]))


def _current(table: pa.Table, names: Sequence[str], upstream: Upstream, left: Upstream) -> pa.Table:
    for outputs in left.values():
        gone = outputs.decisions.read(["row_id"])["row_id"]
        if len(gone):
            table = table.filter(pc.invert(pc.is_in(table["row_id"], gone.combine_chunks())))
    for outputs in upstream.values():
        if UPDATES in outputs.schemas:
            columns = outputs.updates.schema.names
            changed = [name for name in columns if name in names and name != "row_id"]
            if changed:
                table = _updated(table, outputs.updates.read([*changed, "row_id"]), changed)
    return table.select(list(names))


def _updated(table: pa.Table, updates: pa.Table, columns: Sequence[str]) -> pa.Table:
    """Set columns where an update names the row; other rows keep what they have."""
    place = pc.index_in(table["row_id"], updates["row_id"].combine_chunks())
    if place.null_count == len(place):
        return table
    for name in columns:
        value = updates[name].combine_chunks().take(place)
        if place.null_count:
            value = _choose(pc.is_valid(place), value, table[name])
        at = table.schema.get_field_index(name)
        table = table.set_column(at, records.SAMPLES.field(name), value)
    return table


def _choose(updated: pa.ChunkedArray, new: pa.Array, old: pa.ChunkedArray) -> pa.Array:
    # Lists are chosen by their places: if_else takes no nested type of every Arrow release.
    both = pa.concat_arrays([*_arrays(new), *_arrays(old)])
    rows = pa.array(range(len(old)), pa.int64())
    return both.take(pc.if_else(updated, rows, pc.add(rows, len(old))))


def _arrays(column: pa.Array | pa.ChunkedArray) -> list[pa.Array]:
    return column.chunks if isinstance(column, pa.ChunkedArray) else [column]
