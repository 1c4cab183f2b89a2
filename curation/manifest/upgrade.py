"""From an older layout of the manifest to the newest: what it lacks is added, nothing is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from curation.manifest.schema import SCHEMA_VERSION, TABLES, quoted, table_ddl
from curation.manifest.views import VIEWS, view_ddl

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def upgrade(con: DuckDBPyConnection) -> None:
    """Bring the current database, a manifest of an older layout, to the newest one.

    Layouts so far differ by added tables and columns alone: those appear empty.
    """
    newest = con.execute("SELECT max(schema_version) FROM runs").fetchall()[0][0]
    if newest is None or newest == SCHEMA_VERSION:
        return
    for table in TABLES:
        known = columns(con, table.name)
        if not known:
            con.execute("; ".join(table_ddl(table)))
        for column in table.columns:
            if known and column.name not in known:
                con.execute(f'ALTER TABLE {table.name} ADD COLUMN "{column.name}" {column.type}')
    for view in VIEWS:
        con.execute(f"DROP VIEW IF EXISTS {view.name}")
        con.execute("; ".join(view_ddl(view)))
    con.execute(f"UPDATE runs SET schema_version = {SCHEMA_VERSION}")


def carry_over(con: DuckDBPyConnection, old: str, run_id: str) -> None:
    """Copy every other run from database `old`, of this layout or an older one."""
    for table in TABLES:
        shared = columns(con, table.name, old)
        if not shared:
            continue
        listed = ", ".join(
            f'{SCHEMA_VERSION} AS "schema_version"' if name == "schema_version" else f'"{name}"'
            for name in shared
        )
        con.execute(
            f"INSERT INTO {table.name} BY NAME SELECT {listed} FROM {old}.{table.name} "
            "WHERE run_id <> ?",
            [run_id],
        )


def columns(con: DuckDBPyConnection, table: str, database: str | None = None) -> list[str]:
    """Column names of a table, in order; none where there is no such table."""
    where = quoted(database) if database else "current_database()"
    found = con.execute(
        "SELECT column_name FROM duckdb_columns() WHERE schema_name = 'main' "
        f"AND database_name = {where} AND table_name = ? ORDER BY column_index",
        [table],
    ).fetchall()
    return [line[0] for line in found]
