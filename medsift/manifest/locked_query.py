"""Answer one locked-down SELECT of a user, within limits of time and memory."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

import duckdb
import pyarrow as pa

from medsift.errors import ManifestError
from medsift.manifest.reading import one_line, open_manifest

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

QUERY_SECONDS: Final = 600.0
GRACE_SECONDS: Final = 2.0
"""Time for a statement to end once it was interrupted; most end within milliseconds."""
_THREAD: Final = "medsift query"
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
    return _within(con, lambda: _answer(con, sql), seconds)


def half_of_memory() -> int:
    """Return half of the machine's memory, in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def left_behind() -> bool:
    """Return whether a stopped statement of this process is still running."""
    return any(thread.name == _THREAD for thread in threading.enumerate())


def _answer(con: DuckDBPyConnection, sql: str) -> pa.Table:
    _refuse(con, sql)
    try:
        return con.sql(sql).to_arrow_table()
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


def _within(con: DuckDBPyConnection, work: Callable[[], pa.Table], seconds: float) -> pa.Table:
    """Run `work` on a thread of its own, which closes `con`, and stop it after `seconds`."""
    outcome: list[pa.Table | BaseException] = []

    def run() -> None:
        with closing(con):
            try:
                outcome.append(work())
            except BaseException as error:  # noqa: BLE001 (raised again by the caller)
                outcome.append(error)

    thread = threading.Thread(target=run, name=_THREAD, daemon=True)
    thread.start()
    try:
        thread.join(seconds)
        late = thread.is_alive()
    finally:
        # Ctrl-C ends the wait in the same way.
        if thread.is_alive():
            con.interrupt()
            thread.join(GRACE_SECONDS)
    if late:
        raise ManifestError(
            f"the statement ran for {seconds:g} s and was stopped; ask for less, or allow more "
            "time (--seconds)",
            code="query_too_slow",
            seconds=seconds,
        )
    result = outcome[0]
    if isinstance(result, BaseException):
        raise result
    return result


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
