"""Read the samples that are left after some stages, with the changes that stages made.

The first stage writes the samples. A later stage never copies them: its `updates` have the columns
that it set, its `decisions` the rows that it dropped or failed. Only this file combines them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.compute as pc

from curation.stage_outputs import UPDATES, Upstream
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
    first = next(iter(upstream.values()))
    table = first.samples.read(list(dict.fromkeys([*names, "row_id"])))
    return _current(table, names, upstream, upstream if left is None else left)


def sample_parts(
    upstream: Upstream, columns: Sequence[str] | None = None, *, left: Upstream | None = None
) -> Iterator[pa.Table]:
    """Yield what `read_samples` returns, one table for each file of samples."""
    names = records.SAMPLES.names if columns is None else list(columns)
    first = next(iter(upstream.values()))
    for table in first.samples.read_parts(list(dict.fromkeys([*names, "row_id"]))):
        yield _current(table, names, upstream, upstream if left is None else left)


def training_samples(samples: pa.Table) -> pa.Table:
    """Return the SAMPLES rows that may be trained on: those of the split `train`, or of none."""
    return samples.filter(pc.equal(pc.fill_null(samples["split"], "train"), "train"))


@contextmanager
def written_samples(
    upstream: Upstream, folder: Path, *, left: Upstream | None = None
) -> Iterator[Path]:
    """Write the samples that are left to temporary files, one part in memory at a time."""
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder, prefix=".samples-", suffix=".partial") as written:
        for ordinal, table in enumerate(sample_parts(upstream, left=left)):
            write_table(table, Path(written) / f"part-{ordinal:06d}.parquet")
        yield Path(written)


def _current(table: pa.Table, names: Sequence[str], upstream: Upstream, left: Upstream) -> pa.Table:
    for outputs in left.values():
        gone = outputs.decisions.read(["row_id"])["row_id"]
        if len(gone):
            table = table.filter(pc.invert(pc.is_in(table["row_id"], gone.combine_chunks())))
    for outputs in upstream.values():
        columns = outputs.schemas[UPDATES].names if UPDATES in outputs.schemas else ()
        changed = [name for name in columns if name in names and name != "row_id"]
        if changed:
            table = _updated(table, outputs.updates.read([*changed, "row_id"]), changed)
    return table.select(list(names))


def _updated(table: pa.Table, updates: pa.Table, columns: Sequence[str]) -> pa.Table:
    """Set columns where an update names the row; other rows keep their values."""
    row = pc.index_in(table["row_id"], updates["row_id"].combine_chunks())
    if row.null_count == len(row):
        return table
    rows = pa.array(range(len(row)), pa.int64())
    # Rows are picked from the new and old values together, since if_else takes no nested type in
    # some Arrow releases.
    pick = pc.if_else(pc.is_valid(row), rows, pc.add(rows, len(row)))
    for name in columns:
        value = updates[name].combine_chunks().take(row)
        if row.null_count:
            new = value.chunks if isinstance(value, pa.ChunkedArray) else [value]
            value = pa.concat_arrays([*new, *table[name].chunks]).take(pick)
        column = table.schema.get_field_index(name)
        table = table.set_column(column, records.SAMPLES.field(name), value)
    return table
