"""Read a manifest: one locked-down SELECT at a time for users, selections for trainers."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import duckdb
import pyarrow as pa

from curation.errors import ManifestError
from curation.manifest.engine import NO_SPILL, engine, start
from curation.manifest.schema import OLDEST_VERSION, SCHEMA_VERSION, TABLES, quoted
from curation.manifest.views import VIEWS

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

DATABASE: Final = "manifest"
BATCH_ROWS: Final = 10_000
_REFUSED: Final = "a manifest is read-only: only SELECT, DESCRIBE, SHOW, SUMMARIZE and EXPLAIN run"
_RELATIONS: Final = (
    *(table.name for table in TABLES),
    *(view.name for view in VIEWS),
)


def open_manifest(path: Path, memory_limit: str | None = None) -> DuckDBPyConnection:
    """Open a manifest for SQL that may come from anyone.

    The file is attached read-only to a connection of its own, so that it always shows the
    newest file (DuckDB keeps one shared handle a path and process otherwise) and never blocks a
    run. Files, network, extensions and settings are shut off, and spilling to disk with them.
    `memory_limit` is a size such as "4GB", 80% of the machine's memory when None. Raises
    ManifestError when there is no manifest of this layout at `path`.
    """
    con = _open(path, NO_SPILL)
    if memory_limit is not None:
        con.execute(f"SET memory_limit = {quoted(memory_limit)}")
    for setting in (
        "enable_external_access = false",
        "disabled_filesystems = 'LocalFileSystem'",
        "lock_configuration = true",
    ):
        con.execute(f"SET {setting}")
    return con


def _open(path: Path, spill: str) -> DuckDBPyConnection:
    """A connection whose default database is the manifest, read-only; `spill` is a folder."""
    con = start(spill)
    try:
        con.execute("SET TimeZone = 'UTC'")
        _use(con, path)
    except ManifestError:
        con.close()
        raise
    return con


def _use(con: DuckDBPyConnection, path: Path) -> None:
    """Make the manifest the default database. Raises ManifestError."""
    attach(con, path, DATABASE)
    con.execute(f"USE {DATABASE}")
    _check_version(con, path)


@contextmanager
def reading(path: Path) -> Iterator[DuckDBPyConnection]:
    """Lend a connection for statements of our own, whose default database is the manifest.

    Temporary tables go with it. Raises ManifestError as `open_manifest` does.
    """
    with engine(file=path) as con:
        _use(con, path)
        yield con
        con.execute(f"USE memory; DETACH {DATABASE}")


def read(path: Path, sql: str) -> pa.Table:
    """Answer a reading statement of our own; one that a user may have written is for `query`.

    Raises ManifestError for a file that is no manifest, or lacks what is asked for.
    """
    with reading(path) as con:
        try:
            return con.sql(sql).to_arrow_table()
        except duckdb.Error as error:
            raise ManifestError(_one_line(error)) from error


def query(path: Path, sql: str, memory_limit: str | None = None) -> pa.Table:
    """Answer one reading statement as an Arrow table, within `memory_limit` ("4GB").

    Raises ManifestError, in one line, for a statement that would write, attach, load, set or
    read a file, for several statements, for a mistake in the SQL, and for a file that is no
    manifest.
    """
    with closing(open_manifest(path, memory_limit)) as con:
        _refuse(con, sql)
        try:
            return con.sql(sql).to_arrow_table()
        except duckdb.PermissionException as error:
            raise ManifestError(f"{_REFUSED}, and no file is read") from error
        except duckdb.InvalidInputException as error:
            mended = _REFUSED if "read-only" in str(error) else _one_line(error)
            raise ManifestError(mended) from error
        except duckdb.OutOfMemoryException as error:
            raise ManifestError(
                f"the answer does not fit into memory: {_one_line(error)}; ask for fewer rows or "
                "columns, or aggregate"
            ) from error
        except duckdb.Error as error:
            raise ManifestError(_one_line(error)) from error


def selected(path: Path, selection: str | None = None, run_id: str | None = None) -> pa.Table:
    """The samples of a selection in rank order, with the columns of `selected_samples`.

    Args:
        path: the manifest.
        selection: its name; the newest one of the run when None.
        run_id: the run; the newest one that has such a selection when None.

    Raises:
        ManifestError: there is no such selection.
    """
    batches = list(selected_batches(path, selection, run_id))
    return pa.concat_tables(batches)


def selected_batches(
    path: Path,
    selection: str | None = None,
    run_id: str | None = None,
    rows: int = BATCH_ROWS,
) -> Generator[pa.Table, None, None]:
    """`selected` in tables of at most `rows` rows, at least one; memory stays small."""
    spill = path.with_name(f"{path.name}.{os.getpid()}.spill")
    with closing(_open(path, str(spill))) as con:
        run, name = _resolve(con, path, selection, run_id)
        columns = ", ".join(
            f"s.{column}" if column in _OF_SELECTION else f"p.{column}"
            for column in next(view for view in VIEWS if view.name == "selected_samples").columns
        )
        reader = con.sql(
            f"SELECT {columns} FROM selections s "
            "JOIN samples p ON s.place = p.place "
            f"WHERE s.run_id = {quoted(run)} AND s.selection = {quoted(name)} ORDER BY s.rank"
        ).to_arrow_reader(rows)
        empty = True
        for batch in reader:
            empty = False
            yield pa.Table.from_batches([batch])
        if empty:
            yield reader.schema.empty_table()


def resolve_selection(
    path: Path, selection: str | None = None, run_id: str | None = None
) -> tuple[str, str]:
    """The (run_id, selection) meant by names that may be left out. Raises ManifestError."""
    with reading(path) as con:
        return _resolve(con, path, selection, run_id)


def newest_version(path: Path) -> int:
    """The layout version of a manifest. Raises ManifestError when it is not one we can read."""
    with reading(path) as con:
        return _check_version(con, path)


def attach(con: DuckDBPyConnection, path: Path, name: str) -> None:
    """Attach the file at `path` read-only. Raises ManifestError when it is not a database."""
    if not path.is_file():
        raise ManifestError(f"there is no manifest at {path}; name the file or its run directory")
    try:
        con.execute(f"ATTACH {quoted(str(path))} AS {name} (READ_ONLY)")
    except duckdb.Error as error:
        raise ManifestError(f"{path} is not a manifest: {_one_line(error)}") from error


_OF_SELECTION: Final = frozenset(
    ("run_id", "selection", "rank", "sample_id", "row_id", "weight", "gain", "stratum")
)


def _check_version(con: DuckDBPyConnection, path: Path) -> int:
    try:
        newest = con.execute("SELECT max(schema_version) FROM runs").fetchall()[0][0]
    except duckdb.Error as error:
        raise ManifestError(
            f"{path} is a database but not a manifest; `medsift curate` writes one"
        ) from error
    version = SCHEMA_VERSION if newest is None else int(newest)
    if not OLDEST_VERSION <= version <= SCHEMA_VERSION:
        raise ManifestError(
            f"{path} has manifest layout {version}, this MedSift reads {OLDEST_VERSION} to "
            f"{SCHEMA_VERSION}; "
            "use the version named in runs.code_version or curate again into a new file"
        )
    return version


def _refuse(con: DuckDBPyConnection, sql: str) -> None:
    """Raise ManifestError unless `sql` is one reading statement."""
    try:
        statements = con.extract_statements(sql)
        kinds = [statement.type for statement in statements]
    except duckdb.Error as error:
        raise ManifestError(_one_line(error)) from error
    except ValueError as error:  # a statement so new that the Python API has no name for it
        raise ManifestError(_REFUSED) from error
    if len(kinds) != 1:
        raise ManifestError(f"{len(kinds)} statements given; a query is exactly one")
    # PIVOT is the one reading statement that DuckDB calls MULTI.
    readable = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN)
    pivot = kinds[0] == duckdb.StatementType.MULTI and re.search(r"\bpivot", sql, re.IGNORECASE)
    if kinds[0] not in readable and not pivot:
        raise ManifestError(f"{kinds[0].name} is refused: {_REFUSED}")


def _resolve(
    con: DuckDBPyConnection, path: Path, selection: str | None, run_id: str | None
) -> tuple[str, str]:
    found = con.execute(
        "SELECT s.run_id, s.selection FROM selections s LEFT JOIN runs r USING (run_id) "
        "WHERE ($1 IS NULL OR s.selection = $1) AND ($2 IS NULL OR s.run_id = $2) GROUP BY ALL "
        "ORDER BY max(r.created_at) DESC, max(s.created_at) DESC, 1 DESC, 2 DESC LIMIT 1",
        [selection, run_id],
    ).fetchall()
    if not found:
        known = con.execute(
            "SELECT DISTINCT selection || ' (run ' || run_id || ')' FROM selections ORDER BY 1"
        ).fetchall()
        names = ", ".join(line[0] for line in known) or "none"
        wanted = f"selection {selection!r}" if selection else "selection"
        of_run = f" of run {run_id}" if run_id else ""
        raise ManifestError(f"{path} has no {wanted}{of_run}; it has {names}")
    return found[0][0], found[0][1]


def _one_line(error: duckdb.Error) -> str:
    """DuckDB's first line, with the nearest name where it says that one does not exist."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    message = lines[0].rstrip("!.")
    missing = re.search(r"Table with name (\S+) does not exist", message)
    if missing:
        near = difflib.get_close_matches(missing[1], _RELATIONS, n=1)
        return f"{message}; " + (
            f"did you mean {near[0]}?" if near else f"there are {', '.join(_RELATIONS)}"
        )
    hints = [line for line in lines[1:] if line.startswith(("Did you mean", "Candidate"))]
    return "; ".join([message, *hints[:1]])
