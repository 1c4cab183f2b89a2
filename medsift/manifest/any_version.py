"""Read manifests of older layouts as if they had every table of the newest."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medsift.manifest import TABLES, in_one_line, open_manifest
from medsift.manifest.schema import identifier
from medsift.manifest.upgrade import columns

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

Line = dict[str, Any]


@contextmanager
def opened(path: Path) -> Iterator[DuckDBPyConnection]:
    """Open a manifest for reading; what its layout lacks is an empty table, or a column of nulls.

    Raises:
        ManifestError: as `open_manifest`.
    """
    with closing(open_manifest(path)) as con, in_one_line(path):
        [(database,)] = con.execute("SELECT current_database()").fetchall()
        known = columns(con)
        for table in TABLES:
            names = known.get(table.name)
            lacking = [column for column in table.columns if column.name not in (names or ())]
            if names is None:
                typed = ", ".join(f'"{column.name}" {column.type}' for column in lacking)
                con.execute(f"CREATE TEMP TABLE {table.name} (run_id VARCHAR, {typed})")
            elif lacking:
                nulls = ", ".join(f'NULL::{column.type} AS "{column.name}"' for column in lacking)
                own = f"{identifier(database)}.main.{table.name}"
                con.execute(f"CREATE TEMP VIEW {table.name} AS SELECT *, {nulls} FROM {own}")
        yield con


def ask(con: DuckDBPyConnection, sql: str, **bound: Any) -> list[Line]:
    """Return the lines of a query, with values for its $parameters."""
    return list(con.sql(sql, params=bound).to_arrow_table().to_pylist())
