"""Write Parquet parts that appear completely or not at all, and read a folder of them as one table.

Every page has a checksum that is verified when it is read: a flipped bit is an error that names the
file, never another value.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from medsift.errors import StorageError
from medsift.storage.atomic import atomic_file
from medsift.storage.mirror import fetch, here, location

CHECKED: Final[dict[str, Any]] = {"compression": "zstd", "write_page_checksum": True}
"""The options of every Parquet file that MedSift writes."""
BATCH_ROWS: Final = 16_384
GROUP_BYTES: Final = 64 << 20
"""The most bytes of a row group, which is what a reader holds at least."""


def write_table(table: pa.Table, path: Path) -> None:
    """Write one Parquet file atomically. Raises StorageError when the disk refuses."""
    write_tables([table], table.schema, path)


def write_tables(tables: Iterable[pa.Table], schema: pa.Schema, path: Path) -> int:
    """Stream tables of one schema into one Parquet file, atomically; return its rows."""
    rows = 0
    with atomic_file(path) as partial, pq.ParquetWriter(partial, schema, **CHECKED) as writer:
        for table in tables:
            write_groups(writer, table.cast(schema))
            rows += table.num_rows
    return rows


def write_groups(writer: pq.ParquetWriter, table: pa.Table, group_bytes: int = GROUP_BYTES) -> None:
    """Append a table to a file, in row groups of at most `group_bytes` or one row."""
    rows = table.num_rows * group_bytes // max(table.nbytes, 1)
    writer.write_table(table, row_group_size=max(1, min(rows, 1 << 20)))


def write_json(value: Mapping[str, Any], path: Path) -> None:
    """Write a JSON file atomically. Raises StorageError when the disk refuses."""
    with atomic_file(path) as partial:
        partial.write_text(json.dumps(value, indent=1, sort_keys=True), encoding="utf-8")


def parts(folder: Path) -> list[Path]:
    """Return the Parquet parts of a folder, in order; none where it does not exist."""
    files = here(folder).glob("*.parquet")
    return sorted(path for path in files if not path.name.startswith("."))


def count_rows(folder: Path) -> int:
    """Count the rows of a folder's parts from their footers. Raises StorageError for damage."""
    return sum(rows_of_files(parts(folder)))


def rows_of_files(files: Iterable[Path]) -> list[int]:
    """Count the rows of each Parquet file from its footer. Raises StorageError for damage."""
    rows = []
    for path in files:
        with undamaged(path):
            rows.append(pq.read_metadata(fetch(path)).num_rows)
    return rows


def read_part(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Read one part, or all parts of a folder, verified. Raises StorageError for damage."""
    names = None if columns is None else list(columns)
    with undamaged(path):
        return pq.read_table(
            fetch(path), columns=names, partitioning=None, page_checksum_verification=True
        )


@contextmanager
def undamaged(path: Path) -> Iterator[None]:
    """Turn an error of Arrow inside the block into a StorageError that names the file."""
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        message = (
            f"{location(path)} is damaged or gone: {' '.join(str(error).split())}; run the same "
            "`medsift curate` again, which notices that and runs its stage again"
        )
        raise StorageError(message, code="stage_damaged", path=str(path)) from error


def read_tables(
    folder: Path, schema: pa.Schema, columns: Sequence[str] | None = None
) -> Iterator[pa.Table]:
    """Yield one table per part, cast to `schema` or to the named columns of it."""
    wanted = schema if columns is None else pa.schema([schema.field(name) for name in columns])
    for path in parts(folder):
        yield read_part(path, wanted.names).cast(wanted)


def read_batches(
    folder: Path, columns: Sequence[str] | None = None, rows: int = BATCH_ROWS
) -> Iterator[pa.Table]:
    """Yield tables of at most `rows` rows, in the order of a folder's parts and their rows.

    A table is of one row group, and so of at most `GROUP_BYTES` or one row.
    """
    names = None if columns is None else list(columns)
    for path in parts(folder):
        # Without buffers ahead: a whole row group of miniatures would be read at once.
        with (
            undamaged(path),
            pq.ParquetFile(fetch(path), page_checksum_verification=True, pre_buffer=False) as file,
        ):
            for group in range(file.num_row_groups):
                for batch in file.iter_batches(rows, [group], names, use_threads=False):
                    yield pa.Table.from_batches([batch])


def read_folder(folder: Path, schema: pa.Schema, columns: Sequence[str] | None = None) -> pa.Table:
    """Read all parts of a folder as one table; an empty one where there are none."""
    wanted = schema if columns is None else pa.schema([schema.field(name) for name in columns])
    tables = list(read_tables(folder, schema, columns))
    return pa.concat_tables(tables) if tables else wanted.empty_table()
