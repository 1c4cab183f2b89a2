"""Start DuckDB engines that reach only the files they are for: manifests may come from anyone.

A view or a generated column of somebody else's file may call any function, and runs when a
statement of ours reads it. So every engine is locked before the first such statement: it reaches
no other file, no network, no extension and no setting.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import duckdb

from medsift.manifest.schema import quoted

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

NO_SPILL: Final = ""
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
    con.execute("SET GLOBAL TimeZone = 'UTC'")
    return con


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
