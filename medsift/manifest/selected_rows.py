"""Find a run and a selection, and read its samples as trainers and exports need them."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from medsift.errors import ManifestError
from medsift.manifest.reading import in_one_line, open_manifest, read, reading
from medsift.manifest.views import VIEWS
from medsift.reorder import taken_rows
from medsift.storage.mapped_rows import scratch_rows

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

BATCH_ROWS: Final = 10_000
READ_ROWS: Final = 1024
"""Rows that are read at a time: the texts of a column stay below 2 GiB, at 2 MiB each."""
IN_MEMORY: Final = 256 << 20
"""Bytes of a selection that are sorted in memory."""
_OF_SELECTION: Final = frozenset(
    ("run_id", "selection", "rank", "sample_id", "row_id", "weight", "gain", "stratum")
)


def selected(path: Path, selection: str | None = None, run_id: str | None = None) -> pa.Table:
    """Return the samples of a selection in rank order, with the columns of `selected_samples`.

    Args:
        path: The manifest.
        selection: Its name; the newest one of the run when None.
        run_id: The run; the newest one that has such a selection when None.

    Raises:
        ManifestError: there is no such selection.
    """
    return pa.concat_tables(selected_batches(path, selection, run_id))


def selected_batches(
    path: Path, selection: str | None = None, run_id: str | None = None, rows: int = BATCH_ROWS
) -> Generator[pa.Table, None, None]:
    """Yield the samples of a selection in several tables, at least one; memory stays small.

    Args:
        path: The manifest.
        selection: As for `selected`.
        run_id: As for `selected`.
        rows: Most rows of a table.
    """
    spill = path.with_name(f"{path.name}.{os.getpid()}.spill")
    with closing(open_manifest(path, spill=spill)) as con, in_one_line(path):
        run, name = _resolve(con, path, selection, run_id)
        view = next(view for view in VIEWS if view.name == "selected_samples")
        columns = ", ".join(
            [f"s.{name}" for name in view.columns if name in _OF_SELECTION]
            + sample_columns(con, [name for name in view.columns if name not in _OF_SELECTION])
        )
        # An engine that sorts has some 2,048 rows in memory with all their texts, and more than
        # once: it lists the rows in any order.
        reader = con.sql(
            f"SELECT {columns} FROM selections s JOIN samples p ON s.place = p.place "
            "WHERE s.run_id = $1 AND s.selection = $2",
            params=[run, name],
        ).to_arrow_reader(min(rows, READ_ROWS))
        yield from _by_rank(
            (pa.Table.from_batches([one]) for one in reader), reader.schema, rows, spill
        )


def _by_rank(
    tables: Iterator[pa.Table], schema: pa.Schema, rows: int, folder: Path
) -> Iterator[pa.Table]:
    """Yield the rows of tables in the order of `rank`, at least one table of at most `rows` rows.

    More than `IN_MEMORY` bytes lie in files of `folder` meanwhile.
    """
    first = [schema.empty_table()]
    size = 0
    for table in tables:
        first.append(table)
        size += table.nbytes
        if size > IN_MEMORY:
            break
    else:
        whole = pa.concat_tables(first)
        ordered = taken_rows(whole, np.argsort(whole["rank"].to_numpy()))
        yield ordered.slice(0, rows)
        for start in range(rows, len(ordered), rows):
            yield ordered.slice(start, rows)
        return
    try:
        mapped = scratch_rows(chain(first, tables), schema, folder)
        order = np.argsort(mapped.wide["rank"].to_numpy())
        for piece in mapped.pieces(order):
            for start in range(piece.start, piece.stop, rows):
                yield mapped.take(order[start : min(start + rows, piece.stop)])
    finally:
        rmtree(folder, ignore_errors=True)


def sample_columns(con: DuckDBPyConnection, names: Iterable[str]) -> list[str]:
    """Return columns of `samples`, which SQL calls p; those that an older layout lacks are null."""
    known = {line[0] for line in con.execute("DESCRIBE samples").fetchall()}
    return [f"p.{name}" if name in known else f"NULL::VARCHAR AS {name}" for name in names]


def resolve_run(path: Path, run_id: str | None = None) -> str:
    """Return a run's id, that of the newest when None.

    Raises:
        ManifestError: there is no manifest, or no such run.
    """
    runs = read(path, "SELECT run_id FROM runs ORDER BY created_at DESC, run_id DESC")
    known = [str(name) for name in runs["run_id"].to_pylist()]
    if not known:
        raise ManifestError(
            f"{path} has no run; make one with `medsift curate RECIPE`", code="run_missing"
        )
    if run_id is not None and run_id not in known:
        raise ManifestError(
            f"{path} has no run {run_id!r}; it has {', '.join(known)}",
            code="run_unknown",
            run_id=run_id,
            known=known,
        )
    return run_id or known[0]


def resolve_selection(
    path: Path, selection: str | None = None, run_id: str | None = None
) -> tuple[str, str]:
    """Return run id and selection, the newest where one is None. Raises ManifestError."""
    with reading(path) as con:
        return _resolve(con, path, selection, run_id)


def _resolve(
    con: DuckDBPyConnection, path: Path, selection: str | None, run_id: str | None
) -> tuple[str, str]:
    newest = con.execute(
        "SELECT s.run_id, s.selection FROM selections s LEFT JOIN runs r USING (run_id) "
        "WHERE ($1 IS NULL OR s.selection = $1) AND ($2 IS NULL OR s.run_id = $2) GROUP BY ALL "
        "ORDER BY max(r.created_at) DESC, max(s.created_at) DESC, 1 DESC, 2 DESC LIMIT 1",
        [selection, run_id],
    ).fetchall()
    if not newest:
        known = con.execute(
            "SELECT DISTINCT selection || ' (run ' || run_id || ')' FROM selections ORDER BY 1"
        ).fetchall()
        names = [line[0] for line in known]
        wanted = f"selection {selection!r}" if selection else "selection"
        of_run = f" of run {run_id}" if run_id else ""
        raise ManifestError(
            f"{path} has no {wanted}{of_run}; it has {', '.join(names) or 'none'}",
            code="selection_unknown",
            selection=selection,
            known=names,
        )
    return newest[0][0], newest[0][1]
