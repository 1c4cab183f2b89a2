"""Answer one locked-down SELECT of a user, within limits of time and memory."""

from __future__ import annotations

import re
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

import duckdb
import pyarrow as pa

from medsift.errors import ManifestError
from medsift.manifest.connections import half_of_memory, run_within
from medsift.manifest.reading import ROWS_AT_A_TIME, one_line, open_manifest

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

QUERY_SECONDS: Final = 600.0
_REFUSED: Final = "a manifest is read-only: only SELECT, DESCRIBE, SHOW, SUMMARIZE and EXPLAIN run"


def query(
    path: Path, sql: str, memory_limit: str | None = None, seconds: float = QUERY_SECONDS
) -> pa.Table:
    """Answer one reading statement as an Arrow table.

    A statement past its time, or interrupted, is stopped. DuckDB does not stop inside one call of
    a function (`repeat('x', 3000000000)`): the thread of such a statement is left behind, and ends
    with the call or the process (`left_behind`).

    Args:
        path: The manifest.
        sql: One statement.
        memory_limit: A size such as "4GB"; half of the machine's memory when None.
        seconds: How long the statement may run.

    Raises:
        ManifestError: in one line, for a statement that would write, attach, load, set or read a
            file, for several statements, for a mistake in the SQL, for one that takes too much
            memory or time, and for a file that is no manifest.
    """
    con = open_manifest(path, memory_limit or f"{half_of_memory()}B")

    def work() -> pa.Table:
        with closing(con):
            return _answer(con, sql)

    try:
        return run_within(con, work, seconds)
    except TimeoutError as error:
        raise ManifestError(
            f"the statement {error}; ask for less, or allow more time (--seconds)",
            code="query_too_slow",
            seconds=seconds,
        ) from error


def _answer(con: DuckDBPyConnection, sql: str) -> pa.Table:
    _refuse(con, sql)
    try:
        return con.sql(sql).to_arrow_table(ROWS_AT_A_TIME)
    except duckdb.PermissionException as error:
        raise ManifestError(f"{_REFUSED}, and no file is read", code="query_refused") from error
    except duckdb.InvalidInputException as error:
        refused = _REFUSED if "read-only" in str(error) else one_line(error)
        raise ManifestError(refused, code="query_refused") from error
    except duckdb.OutOfMemoryException as error:
        raise ManifestError(
            f"the answer does not fit into memory: {one_line(error)}; ask for fewer rows or "
            "columns, or aggregate",
            code="query_too_large",
        ) from error
    except duckdb.Error as error:
        raise ManifestError(one_line(error), code="query_invalid") from error


def _refuse(con: DuckDBPyConnection, sql: str) -> None:
    """Raise ManifestError unless `sql` is one reading statement."""
    try:
        sql.encode()
    except UnicodeEncodeError as error:
        raise ManifestError(
            f"the statement is not UTF-8 at character {error.start}",
            code="query_invalid",
            character=error.start,
        ) from error
    try:
        statements = con.extract_statements(sql)
        kinds = [statement.type for statement in statements]
    except duckdb.Error as error:
        raise ManifestError(one_line(error), code="query_invalid") from error
    except ValueError as error:  # a statement so new that the Python API has no name for it
        raise ManifestError(_REFUSED, code="query_refused") from error
    if len(kinds) != 1:
        raise ManifestError(
            f"{len(kinds)} statements given; a query is exactly one", code="query_refused"
        )
    # PIVOT is the one reading statement that DuckDB calls MULTI.
    readable = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN)
    pivot = kinds[0] == duckdb.StatementType.MULTI and re.search(r"\bpivot", sql, re.IGNORECASE)
    if kinds[0] not in readable and not pivot:
        raise ManifestError(f"{kinds[0].name} is refused: {_REFUSED}", code="query_refused")
