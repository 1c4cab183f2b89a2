"""Join, group and sort tables larger than memory, by DuckDB on files."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from medsift.errors import StorageError
from medsift.manifest.connections import start
from medsift.manifest.schema import quoted
from medsift.storage.atomic import RUN_DIR
from medsift.storage.mirror import fetch
from medsift.storage.parts import CHECKED, rows_of_files, write_groups
from medsift.storage.refusals import next_step

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MEMORY: Final = "512MB"
"""The most that a join keeps in memory; what is more goes to a file."""
THREADS: Final = 4
"""The most threads of a join: each has some 2,048 rows, with all their texts, in that memory."""
FILE_BYTES: Final = 64 << 20
"""About the most bytes, in memory, of a file of rows that a worker reads at once."""
_DISK: Final = (duckdb.IOException, duckdb.OutOfMemoryException)


@contextmanager
def joining(folder: Path) -> Iterator[DuckDBPyConnection]:
    """Yield an engine that keeps its tables, and what does not fit into memory, in `folder`.

    The caller may write files there too. The folder is removed at the end, and so is what a killed
    process left in it.

    Raises:
        StorageError: the disk refuses.
    """
    shutil.rmtree(folder, ignore_errors=True)
    try:
        folder.mkdir(parents=True)
        with closing(start(str(folder / "spill"), MEMORY)) as connection:
            connection.execute(f"ATTACH {quoted(str(folder / 'tables.duckdb'))} AS work; USE work")
            # Rows come in no order unless a statement asks for one: keeping it costs memory.
            connection.execute("SET preserve_insertion_order = false")
            connection.execute(f"SET threads = {min(THREADS, os.cpu_count() or 1)}")
            yield connection
    except (OSError, *_DISK) as error:
        step = next_step(error, RUN_DIR) if isinstance(error, OSError) else "free some space"
        message = f"cannot join tables in {folder}: {error}; {step}"
        raise StorageError(message, code="disk_refused", path=str(folder)) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def files_sql(files: Sequence[Path]) -> str:
    """Return the SQL of a table that Parquet files make up; there is at least one."""
    listed = ", ".join(quoted(str(fetch(file))) for file in files)
    return f"read_parquet([{listed}], hive_partitioning = false)"


def copy_to(db: DuckDBPyConnection, query: str, folder: Path, by: str) -> dict[int, Path]:
    """Write the rows of a query to a folder of Parquet files for each value of `by`.

    Args:
        db: The engine.
        query: What to write.
        folder: A new folder.
        by: SQL of a whole number, over the columns of the query.

    Returns:
        The folder of each value that there is.
    """
    db.execute(
        f"COPY (SELECT *, {by} AS bucket FROM ({query})) TO {quoted(str(folder))} "
        "(FORMAT parquet, PARTITION_BY (bucket), COMPRESSION zstd, OVERWRITE true)"
    )
    return {int(part.name.partition("=")[2]): part for part in folder.glob("bucket=*")}


def ids_sql(files: Sequence[Path]) -> str:
    """Return the SQL of a table of row ids that Parquet files have; there may be none."""
    return files_sql(files) if files else "(SELECT NULL::VARCHAR AS row_id LIMIT 0)"


def place_sql(files: Sequence[Path], table: str) -> str:
    """Return the SQL of the number of a row, from 0, among all rows of `files_sql`, in order.

    `table` is the name that the statement gives to `files_sql(files)`.
    """
    starts = ", ".join(map(str, np.cumsum([0, *rows_of_files(files)])[:-1].tolist()))
    return f"CAST([{starts}] AS BIGINT[])[{table}.file_index::BIGINT + 1] + {table}.file_row_number"


def write_by(tables: Iterable[pa.Table], by: str, folder: Path) -> dict[int, Path]:
    """Write rows that come in ascending order of a column to a Parquet file for each value of it.

    Args:
        tables: The rows.
        by: The column, of whole numbers.
        folder: A new folder.

    Returns:
        The file of each value that there is.
    """
    folder.mkdir(parents=True)
    files: dict[int, Path] = {}
    writer: pq.ParquetWriter | None = None
    try:
        for table in tables:
            numbers = table[by].to_numpy()
            cuts = np.flatnonzero(np.diff(numbers)) + 1
            for start, stop in pairwise([0, *cuts.tolist(), len(numbers)]):
                if start == stop:
                    continue
                if (number := int(numbers[start])) not in files:
                    if writer is not None:
                        writer.close()
                    files[number] = folder / f"{number}.parquet"
                    writer = pq.ParquetWriter(files[number], table.schema, **CHECKED)
                write_groups(writer, table.slice(start, stop - start))
    finally:
        if writer is not None:
            writer.close()
    return files


def write_rows(tables: Iterable[pa.Table], folder: Path, size: int) -> list[Path]:
    """Write rows to Parquet files of at most `size` rows, and of about `FILE_BYTES` in memory.

    The same tables have the same files whenever they are written.
    """

    def numbered() -> Iterator[pa.Table]:
        number = rows = filled = 0
        for table in tables:
            while table.num_rows:
                fits = table.slice(0, size - rows)
                bucket = pa.repeat(pa.scalar(number, pa.int64()), fits.num_rows)
                yield fits.append_column("bucket", bucket)
                rows, filled = rows + fits.num_rows, filled + fits.nbytes
                if rows == size or filled >= FILE_BYTES:
                    number, rows, filled = number + 1, 0, 0
                table = table.slice(fits.num_rows)

    return list(write_by(numbered(), "bucket", folder).values())


def read_tables_of(db: DuckDBPyConnection, query: str, rows: int) -> Iterator[pa.Table]:
    """Yield the rows of a query, in its order, in tables of `rows` rows; the last has the rest."""
    ahead = pa.table({})
    for batch in db.sql(query).to_arrow_reader(rows):
        fresh = pa.Table.from_batches([batch])
        ahead = pa.concat_tables([ahead, fresh]) if ahead.num_rows else fresh
        while ahead.num_rows >= rows:
            yield ahead.slice(0, rows)
            ahead = ahead.slice(rows)
    if ahead.num_rows:
        yield ahead
