"""Write a manifest: a new file in one transaction, which then replaces the old one."""

from __future__ import annotations

import errno
import json
import logging
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import duckdb

from medsift.errors import ManifestError, StorageError
from medsift.manifest.appending import can_append, read_through, remove_run
from medsift.manifest.connections import lock_to, start
from medsift.manifest.load import Inputs, Source, fill, insert, register, source_files
from medsift.manifest.reading import REBUILD, attach, is_damaged, newest_version, one_line
from medsift.manifest.schema import BY_NAME, SCHEMA_VERSION, TABLES, quoted, table_ddl
from medsift.manifest.upgrade import carry_over, keep_additions, rename_splits, upgrade
from medsift.manifest.views import VIEWS, view_ddl
from medsift.manifest.withdraw import copy_and_record
from medsift.storage.clone_file import clone_file
from medsift.storage.replace import replacing, spill_folder
from medsift.vocabulary import STRATUM_TAGS

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

logger = logging.getLogger(__name__)

MEMORY: Final = 1_000_000_000
"""The most bytes that building a manifest keeps in memory; what is more goes to a spill folder."""
VECTOR_ROWS: Final = 2048
"""Rows that DuckDB has in memory at a time, with all their texts, when it writes a table."""
_DISK: Final = (
    duckdb.IOException,
    duckdb.OutOfMemoryException,
    duckdb.FatalException,
    duckdb.InternalException,
)
_REFUSALS: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)


@dataclass(frozen=True, slots=True)
class RunRecord:
    """The line of table `runs`; times are UTC, and naive ones are read as UTC."""

    run_id: str
    name: str
    created_at: datetime
    finished_at: datetime | None = None
    status: str = "balanced"
    recipe: Mapping[str, Any] = field(default_factory=dict)
    recipe_fingerprint: str | None = None
    input_fingerprint: str | None = None
    code_version: str | None = None
    packages: Mapping[str, str] = field(default_factory=dict)
    seed: int | None = None


def write_manifest(
    path: Path, tables: Mapping[str, Source], run: RunRecord, text_bytes: int = 0
) -> None:
    """Write `run` into the manifest at `path`, next to the runs that are there already.

    Args:
        path: The manifest; created, or replaced atomically. Readers keep the old file.
        tables: Arrow tables, or Parquet files, folders or glob patterns, by table name, without
            `run_id`. `samples` may have the schema ``records.SAMPLES`` and `images` that of
            ``records.IMAGES``; columns that the manifest does not have are ignored. Fates in
            `rows` come from `decisions`; `strata` are counted unless given.
        run: Replaces a run of the same `run_id`. What was added to that since is kept, such as
            selections, exports, trainings and predictions of names that `tables` do not have.
        text_bytes: Of the `VECTOR_ROWS` samples with the longest texts: what is needed besides
            `MEMORY`.

    Raises:
        StorageError: the disk refuses; the old manifest is untouched.
        ManifestError: a table or column that does not belong, or an old file of another layout.
    """
    with (
        replacing(path) as partial,
        _building(path, partial, tables, text_bytes) as (con, inputs),
    ):
        old = path.exists()
        if old:
            newest_version(path)
            attach(con, path, "old")
        _begin(con, path, partial, run.run_id if old else None)
        _insert_run(con, run)
        fill(con, run.run_id, inputs, run.recipe.get("strata", STRATUM_TAGS))
        if old:
            keep_additions(con, "old", run.run_id)
        _finish(con)
        if old:
            con.execute("DETACH old")
    logger.info("manifest %s has run %s", path, run.run_id)


def _begin(con: DuckDBPyConnection, path: Path, partial: Path, run_id: str | None) -> None:
    """Begin a transaction in `partial`, with the runs of database `old`, the file at `path`.

    Run `run_id` is not among them. It is None where there is no old file.
    """
    partial.write_bytes(_empty())
    con.execute(f"ATTACH {quoted(str(partial))} AS fresh")
    if run_id is None:
        con.execute("USE fresh; BEGIN")
    elif can_append(con, "old", "fresh", run_id):
        read_through(con, "old")
        con.execute("DETACH fresh")
        clone_file(path, partial)
        con.execute(f"ATTACH {quoted(str(partial))} AS fresh; USE fresh; BEGIN")
        rename_splits(con)
        remove_run(con, run_id)
    else:
        con.execute("USE fresh; BEGIN")
        carry_over(con, "old", run_id)


@lru_cache(maxsize=1)
def _empty() -> bytes:
    """Return a manifest without a run; its 500 statements, mostly comments, are run once."""
    lines = [line for table in TABLES for line in table_ddl(table)]
    lines += [line for view in VIEWS for line in view_ddl(view)]
    with tempfile.TemporaryDirectory(prefix="medsift-") as folder:
        file = Path(folder, "manifest.duckdb")
        with closing(start()) as con:
            con.execute(
                f"ATTACH {quoted(str(file))} AS fresh; USE fresh; BEGIN; {'; '.join(lines)}"
            )
            _finish(con)
        return file.read_bytes()


def append_tables(path: Path, run_id: str, tables: Mapping[str, Source]) -> None:
    """Add lines to a run: scores, selections, exports, trainings, predictions or metrics.

    Lines of the run that have the same name (selection, scorer, path, training or evaluation)
    are replaced; a file of an older layout is upgraded. This works on a copy that then replaces
    the manifest.

    Raises:
        ManifestError: a table that does not grow, or an unknown run.
        StorageError: the disk refuses.
    """
    growing = [table.name for table in TABLES if table.replaced_by is not None]
    fixed = sorted(set(tables) - set(growing))
    if fixed:
        raise ManifestError(
            f"table {fixed[0]!r} is written with its run; only {', '.join(growing)} can grow",
            code="manifest_table_invalid",
            table=fixed[0],
        )
    newest_version(path)
    with replacing(path) as partial, _building(path, partial, tables) as (con, inputs):
        clone_file(path, partial)
        con.execute(f"ATTACH {quoted(str(partial))} AS fresh; USE fresh; BEGIN")
        upgrade(con)
        known = [line[0] for line in con.execute("SELECT run_id FROM runs ORDER BY 1").fetchall()]
        if run_id not in known:
            raise ManifestError(
                f"{path} has no run {run_id!r}; it has {', '.join(known) or 'none'}",
                code="run_unknown",
                run_id=run_id,
            )
        for name in (name for name in BY_NAME if name in inputs):
            keys = ", ".join(BY_NAME[name].replaced_by or ())
            con.execute(
                f"DELETE FROM {name} WHERE run_id = ? AND ({keys}) IN "
                f"(SELECT {keys} FROM {inputs[name].view})",
                [run_id],
            )
            insert(con, run_id, name, inputs)
        _finish(con)


def keep_only(path: Path, run_id: str, withdrawals: pa.Table, gone: Sequence[str]) -> None:
    """Rewrite a manifest with one run, and record the withdrawals that left it alone.

    What was exported, trained and evaluated is carried over to that run, without lines about the
    withdrawn rows and their pictures. A new file is built, because lines that are deleted leave
    their bytes in a file's free blocks.

    Args:
        path: The manifest, of the newest layout.
        run_id: The run that stays.
        withdrawals: New lines of the table `withdrawals`; `images` is counted.
        gone: Ids of the withdrawn rows, to find what had used them.

    Raises:
        StorageError: the disk refuses; the manifest is as it was.
        ManifestError: a table that does not belong.
    """
    tables = {"withdrawals": withdrawals}
    with replacing(path) as partial, _building(path, partial, tables) as (con, inputs):
        partial.write_bytes(_empty())
        con.execute(f"ATTACH {quoted(str(partial))} AS fresh")
        attach(con, path, "old")
        con.execute("USE fresh; BEGIN")
        copy_and_record(con, run_id, inputs["withdrawals"].view, gone)
        _finish(con)
        con.execute("DETACH old")


@contextmanager
def _building(
    path: Path, partial: Path, tables: Mapping[str, Source], text_bytes: int = 0
) -> Iterator[tuple[DuckDBPyConnection, Inputs]]:
    """Yield an engine to build `partial` with, and its inputs; turn DuckDB's errors into ours.

    The engine is locked to both files and the inputs, because the old manifest may be anyone's.
    """
    folders = {Path(file).parent for source in tables.values() for file in source_files(source)}
    try:
        with closing(start(str(spill_folder(partial)), f"{MEMORY + text_bytes}B")) as con:
            if text_bytes > MEMORY // 10:
                # Every thread has rows of its own.
                con.execute("SET threads = 1")
            inputs = register(con, tables)
            lock_to(con, [path, partial], sorted(folders))
            yield con, inputs
    except duckdb.Error as error:
        if is_damaged(error):
            raise ManifestError(
                f"{path} is damaged: {one_line(error)}; {REBUILD}",
                code="manifest_damaged",
                path=str(path),
            ) from error
        if _is_of_disk(error):
            raise StorageError(
                f"cannot write {path}: {one_line(error)}; free some space or choose another folder",
                code="disk_refused",
                path=str(path),
            ) from error
        raise ManifestError(
            f"cannot build {path}: {one_line(error)}", code="manifest_table_invalid", path=str(path)
        ) from error


def _is_of_disk(error: duckdb.Error) -> bool:
    """Return whether the disk refused."""
    words = str(error)
    if "disabled by configuration" in words:  # a manifest that reaches for other files
        return False
    # A commit that the disk cuts short is a transaction's error to DuckDB, hence the words.
    return isinstance(error, _DISK) or any(os.strerror(code) in words for code in _REFUSALS)


def _finish(con: DuckDBPyConnection) -> None:
    con.execute("COMMIT; CHECKPOINT fresh; USE memory; DETACH fresh")


def _insert_run(con: DuckDBPyConnection, run: RunRecord) -> None:
    line = {part.name: getattr(run, part.name) for part in fields(run)} | {
        "schema_version": SCHEMA_VERSION,
        "created_at": _utc(run.created_at),
        "finished_at": _utc(run.finished_at),
        "recipe": json.dumps(run.recipe, sort_keys=True, ensure_ascii=False, default=str),
        "packages": json.dumps(dict(run.packages), sort_keys=True),
    }
    marks = ", ".join("?" for _ in line)
    con.execute(f"INSERT INTO runs ({', '.join(line)}) VALUES ({marks})", list(line.values()))


def _utc(moment: datetime | None) -> datetime | None:
    """Return a moment as naive UTC, as the manifest stores times."""
    if moment is None or moment.tzinfo is None:
        return moment
    return moment.astimezone(UTC).replace(tzinfo=None)
