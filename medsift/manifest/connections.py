"""Start DuckDB engines that reach only the files they are for: manifests may come from anyone.

A view or a generated column of somebody else's file may call any function, and runs when a
statement of ours reads it. So every engine is locked before the first such statement: it reaches
no other file, no network, no extension and no setting.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import duckdb

from medsift.manifest.schema import quoted

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

Result = TypeVar("Result")
NO_SPILL: Final = ""
GRACE_SECONDS: Final = 2.0
"""Time for a statement to end once it was interrupted; most end within milliseconds."""
_THREAD: Final = "medsift query"
_SUFFIXES: Final = ("", ".wal", ".wal.checkpoint", ".wal.recovery")
"""The files of one database."""


def start(spill: str = NO_SPILL, memory_limit: str | None = None) -> DuckDBPyConnection:
    """Start an engine in memory; it is not locked yet.

    Extensions are neither loaded nor installed, and Python's variables are no tables.

    Args:
        spill: Folder for what does not fit into memory; none when empty.
        memory_limit: A size such as "4GB"; 80 % of the machine's memory when None.
    """
    con = duckdb.connect(
        config={
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "python_enable_replacements": False,
            "temp_directory": spill,
        }
    )
    if memory_limit is not None:
        con.execute(f"SET memory_limit = {quoted(memory_limit)}")
    # It would be drawn between our own lines when a statement takes two seconds.
    con.execute("SET enable_progress_bar = false")
    con.execute("SET GLOBAL TimeZone = 'UTC'")
    return con


def half_of_memory() -> int:
    """Return half of the machine's memory, in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def run_within(con: DuckDBPyConnection, work: Callable[[], Result], seconds: float) -> Result:
    """Run `work`, which uses an engine, on a thread of its own, and stop it after `seconds`.

    DuckDB does not stop inside one call of a function (`repeat('x', 3000000000)`): the thread of
    such a statement is left behind, and ends with the call or the process (`left_behind`).

    Raises:
        TimeoutError: the work was stopped.
    """
    outcome: list[Result] = []
    problem: list[BaseException] = []

    def run() -> None:
        try:
            outcome.append(work())
        except BaseException as error:  # noqa: BLE001 (raised again by the caller)
            problem.append(error)

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
        raise TimeoutError(f"ran for {seconds:g} s and was stopped")
    if problem:
        raise problem[0]
    return outcome[0]


def left_behind() -> bool:
    """Return whether a stopped statement of this process is still running."""
    return any(thread.name == _THREAD for thread in threading.enumerate())


def lock(con: DuckDBPyConnection, spills: bool = False) -> None:
    """Shut an engine off from all files for good.

    Attached databases stay usable, and so does the spill folder of an engine that `spills`; for
    others the local disk is disabled as a whole.
    """
    con.execute("SET enable_external_access = false")
    if not spills:
        con.execute("SET disabled_filesystems = 'LocalFileSystem'")
    con.execute("SET lock_configuration = true")


def lock_to(con: DuckDBPyConnection, databases: Sequence[Path], folders: Sequence[Path]) -> None:
    """Shut an engine off from everything but `databases` and the files under `folders`."""
    files = [f"{path}{suffix}" for path in databases for suffix in _SUFFIXES]
    con.execute(f"SET allowed_paths = [{', '.join(map(quoted, files))}]")
    allowed = ", ".join(quoted(str(folder)) for folder in folders)
    con.execute(f"SET allowed_directories = [{allowed}]")
    con.execute("SET enable_external_access = false")
    con.execute("SET lock_configuration = true")
