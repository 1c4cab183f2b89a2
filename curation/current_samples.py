"""Read the samples that are left after some stages, with the changes that stages made.

The first stage writes the samples. A later stage never copies them: its `updates` have the columns
that it set, its `decisions` the rows that it dropped or failed. Only this file combines them.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.joins import files_sql, joining, place_sql, write_rows
from curation.mapped import SAID, TEXTS, mapped_texts
from curation.stage_outputs import UPDATES, Upstream
from medsift import records
from medsift.storage.partial_names import partial_name
from medsift.storage.parts import BATCH_ROWS

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

ROWS_OF_FILE: Final = 1 << 20
PLACE: Final = "place"
"""The number of a sample among all that were read, from 0: where its texts are mapped."""


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
    return _Changes(names, upstream, upstream if left is None else left).apply(table)


def sample_parts(
    upstream: Upstream, columns: Sequence[str] | None = None, *, left: Upstream | None = None
) -> Iterator[pa.Table]:
    """Yield what `read_samples` returns, one table for each file of samples."""
    names = records.SAMPLES.names if columns is None else list(columns)
    first = next(iter(upstream.values()))
    changes = _Changes(names, upstream, upstream if left is None else left)
    for table in first.samples.read_parts(list(dict.fromkeys([*names, "row_id"]))):
        yield changes.apply(table)


def count_samples(upstream: Upstream) -> int:
    """Count the samples that no stage dropped or failed."""
    return sum(table.num_rows for table in sample_parts(upstream, ["row_id"]))


def current_sql(upstream: Upstream, columns: Sequence[str], *, left: Upstream | None = None) -> str:
    """Return the SQL of `read_samples`: a statement that DuckDB runs over the files, in no order.

    The columns are some of ``SAMPLES``, and `PLACE`. Nothing is read before the statement runs.
    What sorts or groups rows asks for `PLACE` instead of texts, and `with_texts` adds those.
    """
    first = next(iter(upstream.values()))
    if not first.samples.parts():
        nothing = ", ".join(f'NULL AS "{name}"' for name in columns)
        return f"SELECT {nothing} LIMIT 0"
    values = {name: f's."{name}"' for name in columns}
    if PLACE in values:
        values[PLACE] = place_sql(first.samples.parts(), "s")
    joins, conditions = "", []
    for number, outputs in enumerate(upstream.values()):
        changes = outputs.schemas[UPDATES].names if UPDATES in outputs.schemas else ()
        changed = [name for name in changes if name in columns and name != "row_id"]
        if changed and (files := outputs.updates.parts()):
            one = f"u{number}"
            joins += f" LEFT JOIN {files_sql(files)} {one} ON {one}.row_id = s.row_id"
            for name in changed:
                new = f'{one}."{name}"'
                values[name] = f"CASE WHEN {one}.row_id IS NULL THEN {values[name]} ELSE {new} END"
    for outputs in (upstream if left is None else left).values():
        if files := outputs.decisions.parts():
            conditions.append(f"s.row_id NOT IN (SELECT row_id FROM {files_sql(files)})")
    listed = ", ".join(f'{value} AS "{name}"' for name, value in values.items())
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    return f"SELECT {listed} FROM {files_sql(first.samples.parts())} s{joins}{where}"


def with_texts(
    db: DuckDBPyConnection,
    upstream: Upstream,
    query: str,
    names: Sequence[str],
    most: int = BATCH_ROWS,
) -> Iterator[pa.Table]:
    """Yield the rows of a query in its order, with the texts of samples, some 64 MiB at a time.

    Args:
        db: The engine.
        upstream: The finished stages.
        query: SQL over `current_sql` with a column `PLACE` and every column of `names` but texts.
        names: Columns to yield: those of `TEXTS` are of the sample at `PLACE`.
        most: Most rows of a table.

    Raises:
        StorageError: the disk refuses.
    """
    texts = mapped_texts(next(iter(upstream.values())))
    long = [name for name in names if name in TEXTS.names]
    for batch in db.sql(query).to_arrow_reader(most):
        rows = pa.Table.from_batches([batch])
        places = rows[PLACE].to_numpy().astype(np.int64)
        for piece in texts.pieces(places, long):
            table = rows.slice(piece.start, piece.stop - piece.start)
            said = texts.take(places[piece], long)
            columns = [said[name] if name in long else table[name] for name in names]
            yield pa.table(columns, list(names))


def register_said(db: DuckDBPyConnection, upstream: Upstream) -> None:
    """Give an engine the table `said`: the digest of the texts (`SAID`) of the sample at `PLACE`.

    An engine tells texts apart by it, and never has one.
    """
    texts = mapped_texts(next(iter(upstream.values())))
    columns = [pa.array(np.arange(len(texts))), texts.wide[SAID]]
    db.register("said", pa.table(columns, [PLACE, SAID]))


def said_sql(samples: str) -> str:
    """Return the SQL of samples with `SAID` instead of their `PLACE`, for the table `said`."""
    return f"SELECT m.* EXCLUDE ({PLACE}), {SAID} FROM ({samples}) m JOIN said USING ({PLACE})"


def training_samples(samples: pa.Table) -> pa.Table:
    """Return the SAMPLES rows that may be trained on: those of the split `train`, or of none."""
    return samples.filter(pc.equal(pc.fill_null(samples["split"], "train"), "train"))


@contextmanager
def written_samples(
    upstream: Upstream, folder: Path, *, left: Upstream | None = None
) -> Iterator[list[Path]]:
    """Write the samples that are left to temporary files, by row id, some in memory at a time."""
    written = partial_name(folder / "samples")
    short = [name for name in records.SAMPLES.names if name not in TEXTS.names]
    query = f"SELECT * FROM ({current_sql(upstream, [*short, PLACE], left=left)}) ORDER BY row_id"
    try:
        with joining(written / "join") as db:
            samples = with_texts(db, upstream, query, records.SAMPLES.names)
            tables = (table.cast(records.SAMPLES) for table in samples)
            files = write_rows(tables, written / "sorted", ROWS_OF_FILE)
        yield files
    finally:
        shutil.rmtree(written, ignore_errors=True)


class _Changes:
    """What stages made of the samples: the rows that are gone and the columns that were set.

    Everything is read once, also for many parts of the samples.
    """

    def __init__(self, names: Sequence[str], upstream: Upstream, left: Upstream) -> None:
        self.names = list(names)
        gone = [outputs.decisions.read(["row_id"])["row_id"] for outputs in left.values()]
        self.gone = pa.chunked_array(
            [chunk for column in gone for chunk in column.chunks], pa.string()
        )
        self.updates: list[tuple[list[str], pa.Table]] = []
        for outputs in upstream.values():
            columns = outputs.schemas[UPDATES].names if UPDATES in outputs.schemas else ()
            changed = [name for name in columns if name in names and name != "row_id"]
            if changed:
                self.updates.append((changed, outputs.updates.read([*changed, "row_id"])))

    def apply(self, table: pa.Table) -> pa.Table:
        """Return the rows of some samples that are left, with the columns that were set."""
        if len(self.gone):
            table = table.filter(pc.invert(pc.is_in(table["row_id"], self.gone)))
        for changed, updates in self.updates:
            table = _updated(table, updates, changed)
        return table.select(self.names)


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
