"""Parquet on disk: parts that appear whole or not at all, and folders of parts read as one."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from curation.errors import StorageError


def write_table(table: pa.Table, path: Path) -> None:
    """Write one Parquet file atomically. Raises StorageError when the disk refuses."""
    write_tables([table], table.schema, path)


@contextmanager
def written_whole(path: Path, mend: str = "choose another --run-dir") -> Iterator[Path]:
    """Yield a name beside `path`; what was written there becomes `path`, or nothing is left.

    `mend` is what the user may do instead of freeing space.

    Raises:
        StorageError: the disk refuses.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        partial.replace(path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise StorageError(f"cannot write {path}: {error}; free some space or {mend}") from error


def write_tables(tables: Iterable[pa.Table], schema: pa.Schema, path: Path) -> int:
    """Stream tables of one schema into one Parquet file, atomically; return its rows."""
    rows = 0
    with (
        written_whole(path) as partial,
        pq.ParquetWriter(partial, schema, compression="zstd") as writer,
    ):
        for table in tables:
            writer.write_table(table.cast(schema))
            rows += table.num_rows
    return rows


def write_json(value: Mapping[str, Any], path: Path) -> None:
    """Write a JSON file atomically. Raises StorageError when the disk refuses."""
    with written_whole(path) as partial:
        partial.write_text(json.dumps(value, indent=1, sort_keys=True), encoding="utf-8")


def parts(folder: Path) -> list[Path]:
    """The Parquet parts of a folder, in order; none where it does not exist."""
    return sorted(path for path in folder.glob("*.parquet") if not path.name.startswith("."))


def count_rows(folder: Path) -> int:
    """Rows in a folder of parts, read from their footers."""
    return sum(pq.read_metadata(path).num_rows for path in parts(folder))


def read_tables(
    folder: Path, schema: pa.Schema, columns: Sequence[str] | None = None
) -> Iterator[pa.Table]:
    """One table a part, cast to `schema` (or the named columns of it)."""
    wanted = schema if columns is None else pa.schema([schema.field(name) for name in columns])
    for path in parts(folder):
        yield pq.read_table(path, columns=wanted.names, partitioning=None).cast(wanted)


def read_folder(folder: Path, schema: pa.Schema, columns: Sequence[str] | None = None) -> pa.Table:
    """All parts of a folder as one table; an empty one where there are none."""
    wanted = schema if columns is None else pa.schema([schema.field(name) for name in columns])
    tables = list(read_tables(folder, schema, columns))
    return pa.concat_tables(tables) if tables else wanted.empty_table()
