"""Read a manifest through an engine that is locked before the manifest's own SQL can run."""

from __future__ import annotations

import atexit
import difflib
import os
import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

import duckdb
import pyarrow as pa

from medsift.errors import ManifestError
from medsift.manifest.connections import NO_SPILL, lock, start
from medsift.manifest.schema import OLDEST_VERSION, SCHEMA_VERSION, TABLES, quoted
from medsift.manifest.views import VIEWS
from medsift.storage.mirror import location
from medsift.storage.pointer import refresh

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

DATABASE: Final = "manifest"
ROWS_AT_A_TIME: Final = 1 << 14
"""Rows of a chunk of an answer: texts of a chunk must stay below the 2 GiB of Arrow's offsets."""
KEPT_ENGINES: Final = 2
KEPT_BYTES: Final = 1 << 24
"""Engines of larger files are not kept, as they keep their memory: 800 MB per million samples."""
REBUILD: Final = (
    "remove it, and the same `medsift curate` writes it again from the stages that are done"
)
_DAMAGE: Final = ("Corrupt database file", "Could not read enough bytes")
_RELATIONS: Final = (*(table.name for table in TABLES), *(view.name for view in VIEWS))

Identity = tuple[str, int, int, int]
_open_engines: dict[int, OrderedDict[Identity, DuckDBPyConnection]] = {}
"""By process, because a forked engine cannot be used, then by the file's identity."""
_guard: Final = Lock()
# DuckDB's binding complains on stderr about engines that outlive the interpreter.
atexit.register(_open_engines.clear)
opened: Final[dict[Path, None]] = {}
"""The manifests that a command read, in order; they are checked when it fails."""


def open_manifest(
    path: Path, memory_limit: str | None = None, spill: Path | None = None
) -> DuckDBPyConnection:
    """Open a manifest for SQL that may come from anyone.

    The file is attached read-only to a connection of its own, so that it always shows the newest
    file (DuckDB otherwise shares one handle per path and process) and never blocks a run. Files,
    network, extensions and settings are shut off.

    Args:
        path: The manifest.
        memory_limit: A size such as "4GB"; see `connections.start`.
        spill: Folder for what does not fit into memory; nothing is written to disk when None.

    Raises:
        ManifestError: there is no manifest of a known layout at `path`.
    """
    refresh(path)
    con = start(NO_SPILL if spill is None else str(spill), memory_limit)
    opened[path.absolute()] = None
    try:
        attach(con, path, DATABASE)
        lock(con, spills=spill is not None)
        con.execute(f"USE {DATABASE}")
        _check_version(con, path)
    except ManifestError:
        con.close()
        raise
    return con


@contextmanager
def reading(path: Path) -> Iterator[DuckDBPyConnection]:
    """Lend a connection whose default database is the manifest; temporary tables go with it.

    An engine takes 30 ms to start, longer than most queries take, so the engines of the files read
    last are kept. Raises ManifestError as `open_manifest` does.
    """
    refresh(path)
    opened[path.absolute()] = None
    key = _identity(path)
    with _guard:
        engines = _open_engines.setdefault(os.getpid(), OrderedDict())
        con = None if key is None else engines.get(key)
    con = con or open_manifest(path)
    if key is not None:
        with _guard:
            engines[key] = con
            engines.move_to_end(key)
            # An engine that is dropped ends with the last connection that is lent from it.
            while len(engines) > KEPT_ENGINES:
                engines.popitem(last=False)
    with con.cursor() as lent, in_one_line(path):
        lent.execute(f"USE {DATABASE}")
        yield lent


@contextmanager
def in_one_line(path: Path) -> Iterator[None]:
    """Turn DuckDB's errors about the manifest at `path` into ManifestErrors of one line."""
    try:
        yield
    except duckdb.Error as error:
        words = f"{path}: {one_line(error)}"
        if is_damaged(error):
            words += f"; {REBUILD}"
            raise ManifestError(words, code="manifest_damaged", path=str(path)) from error
        raise ManifestError(words, code="manifest_unreadable", path=str(path)) from error


def read(path: Path, sql: str, bound: Mapping[str, Any] | Sequence[Any] | None = None) -> pa.Table:
    """Answer a reading statement of ours, with values for its parameters in `bound`.

    Values are never pasted into `sql`: those of somebody else's manifest may contain SQL. For a
    user's statement see `query`. Raises ManifestError for a file that is no manifest, or lacks what
    is asked for.
    """
    with reading(path) as con:
        return con.sql(sql, params=bound).to_arrow_table(ROWS_AT_A_TIME)


def newest_version(path: Path) -> int:
    """Return the layout version of a manifest. Raises ManifestError for an unknown version."""
    with reading(path) as con:
        return _check_version(con, path)


def attach(con: DuckDBPyConnection, path: Path, name: str) -> None:
    """Attach the file at `path` read-only. Raises ManifestError when it is not a database."""
    if not path.is_file():
        raise ManifestError(
            f"there is no manifest at {location(path)}; name the file or its run directory",
            code="manifest_missing",
            path=str(path),
        )
    try:
        con.execute(f"ATTACH {quoted(str(path))} AS {name} (READ_ONLY)")
    except duckdb.Error as error:
        raise ManifestError(
            f"{path} is not a manifest, or a damaged one: {one_line(error)}; {REBUILD}",
            code="manifest_damaged",
            path=str(path),
        ) from error


def is_damaged(error: duckdb.Error) -> bool:
    """Return whether DuckDB says that a database was cut short or fails its checksums."""
    return any(words in str(error) for words in _DAMAGE)


def one_line(error: duckdb.Error) -> str:
    """Return DuckDB's first line, with the nearest name for one that does not exist."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    message = lines[0].rstrip("!.")
    missing = re.search(r"Table with name (\S+) does not exist", message)
    if missing:
        near = difflib.get_close_matches(missing[1], _RELATIONS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(_RELATIONS)}"
        return f"{message}; {hint}"
    hints = [line for line in lines[1:] if line.startswith(("Did you mean", "Candidate"))]
    return "; ".join([message, *hints[:1]])


def _identity(path: Path) -> Identity | None:
    """Return what changes when a file is replaced; None for a file that is absent or large."""
    try:
        seen = path.stat()
    except OSError:
        return None
    identity = str(path.absolute()), seen.st_ino, seen.st_mtime_ns, seen.st_size
    return identity if seen.st_size <= KEPT_BYTES else None


def _check_version(con: DuckDBPyConnection, path: Path) -> int:
    try:
        newest = con.execute("SELECT max(schema_version) FROM runs").fetchall()[0][0]
    except duckdb.Error as error:
        raise ManifestError(
            f"{path} is a database but not a manifest; `medsift curate` writes one",
            code="manifest_invalid",
            path=str(path),
        ) from error
    version = SCHEMA_VERSION if newest is None else int(newest)
    if not OLDEST_VERSION <= version <= SCHEMA_VERSION:
        raise ManifestError(
            f"{path} has manifest layout {version}, this MedSift reads {OLDEST_VERSION} to "
            f"{SCHEMA_VERSION}; use the version named in runs.code_version or curate again into a "
            "new file",
            code="manifest_version",
            version=version,
        )
    return version
