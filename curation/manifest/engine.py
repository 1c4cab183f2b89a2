"""DuckDB engines for statements of our own, kept for the next one that asks.

An engine takes 30 ms to start, longer than most questions to a manifest take. One that has been
locked for strangers' SQL (`open_manifest`) cannot be unlocked and is not lent again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import duckdb

from curation.manifest.schema import quoted

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

NO_SPILL: Final = ""
KEPT_BYTES: Final = 1 << 24
"""An engine holds on to the memory of a larger file (800 MB after a million samples), and what it
does there takes longer than a start."""
_idle: dict[int, list[DuckDBPyConnection]] = {}
"""By process: what a fork takes along cannot be used there."""


@contextmanager
def engine(spill: Path | None = None, file: Path | None = None) -> Iterator[DuckDBPyConnection]:
    """Lend a connection to an engine that nobody else uses, with nothing attached.

    `spill` is the folder for what does not fit into memory; None has none. `file` is the database
    that it works on. Extensions are neither loaded nor installed, and Python's variables are no
    tables. Who borrows detaches what it attached; after an error, or work on a file of more than
    `KEPT_BYTES`, the engine is given up instead.
    """
    kept = _idle.setdefault(os.getpid(), [])
    con = kept.pop() if kept else start(NO_SPILL)
    as_new = False
    try:
        with con.cursor() as lent:
            if spill is not None:
                lent.execute(f"SET temp_directory = {quoted(str(spill))}")
            lent.execute("SET TimeZone = 'UTC'")
            yield lent
        small = file is None or (file.exists() and file.stat().st_size <= KEPT_BYTES)
        as_new = small and (spill is None or _leaves(con, spill))
    finally:
        if as_new:
            kept.append(con)
        else:
            con.close()


def _leaves(con: DuckDBPyConnection, spill: Path) -> bool:
    """Give the folder up, unless something was written to it: DuckDB then stays with it."""
    if spill.exists():
        return False
    con.execute(f"SET temp_directory = '{NO_SPILL}'")
    return True


def start(spill: str) -> DuckDBPyConnection:
    """A new engine, whose folder for what does not fit into memory is `spill`."""
    return duckdb.connect(
        config={
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "python_enable_replacements": False,
            "temp_directory": spill,
        }
    )
