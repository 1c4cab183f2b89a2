"""Read manifests of older layouts as if they had every table of the newest."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medsift.manifest import TABLES, in_one_line, open_manifest

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

Line = dict[str, Any]


@contextmanager
def opened(path: Path) -> Iterator[DuckDBPyConnection]:
    """Open a manifest for reading; a table that its layout lacks is an empty temporary one.

    Raises:
        ManifestError: as `open_manifest`.
    """
    with closing(open_manifest(path)) as con, in_one_line(path):
        sql = "SELECT table_name FROM duckdb_tables() WHERE database_name = current_database()"
        known = {name for (name,) in con.execute(sql).fetchall()}
        for table in TABLES:
            if table.name not in known:
                columns = ", ".join(f'"{column.name}" {column.type}' for column in table.columns)
                con.execute(f"CREATE TEMP TABLE {table.name} (run_id VARCHAR, {columns})")
        yield con


def ask(con: DuckDBPyConnection, sql: str, **bound: Any) -> list[Line]:
    """Return the lines of a query, with values for its $parameters."""
    return list(con.sql(sql, params=bound).to_arrow_table().to_pylist())
