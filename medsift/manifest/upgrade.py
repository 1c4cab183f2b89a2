"""Upgrade an older manifest and carry its runs and later additions over: nothing is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from medsift.manifest.load import describe, insert
from medsift.manifest.schema import BY_NAME, SCHEMA_VERSION, TABLES, identifier, quoted, table_ddl
from medsift.manifest.views import VIEWS, view_ddl

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

RENAMED: Final = (("split", "val", "validation"), ("benchmark", "split:val", "split:validation"))


def upgrade(con: DuckDBPyConnection) -> None:
    """Bring the current database, a manifest of an older layout, to the newest one.

    Layouts so far differ only by added tables and columns, which appear empty.
    """
    rename_splits(con)
    newest = con.execute("SELECT max(schema_version) FROM runs").fetchall()[0][0]
    if newest is None or newest == SCHEMA_VERSION:
        return
    known = columns(con)
    for table in TABLES:
        names = known.get(table.name)
        if names is None:
            con.execute("; ".join(table_ddl(table)))
            continue
        for column in table.columns:
            if column.name not in names:
                con.execute(f'ALTER TABLE {table.name} ADD COLUMN "{column.name}" {column.type}')
    for view in VIEWS:
        con.execute(f"DROP VIEW IF EXISTS {view.name}")
        con.execute("; ".join(view_ddl(view)))
    con.execute(f"UPDATE runs SET schema_version = {SCHEMA_VERSION}")


def carry_over(con: DuckDBPyConnection, old: str, run_id: str) -> None:
    """Copy every other run from database `old`, of this layout or an older one."""
    others = con.execute(f"SELECT 1 FROM {old}.runs WHERE run_id <> ? LIMIT 1", [run_id])
    if not others.fetchall():
        return
    known = columns(con, old)
    for table in (table for table in TABLES if table.name in known):
        listed = ", ".join(
            f'{SCHEMA_VERSION} AS "schema_version"'
            if name == "schema_version"
            else identifier(name)
            for name in known[table.name]
        )
        con.execute(
            f"INSERT INTO {table.name} BY NAME SELECT {listed} FROM {old}.{table.name} "
            "WHERE run_id <> ?",
            [run_id],
        )
    rename_splits(con)


def keep_additions(con: DuckDBPyConnection, old: str, run_id: str) -> None:
    """Copy what later steps added to run `run_id` from database `old` into the current one.

    In tables that grow, lines of a name that the run has not just written stay: a selection made
    by hand, an export, a training, an evaluation. A selection that is the same as before keeps
    its time of creation, so that the newest one is still the newest.
    """
    known, run = columns(con, old), quoted(run_id)
    for name in (table.name for table in TABLES if table.replaced_by and table.name in known):
        if not con.execute(f"SELECT 1 FROM {old}.{name} WHERE run_id = {run} LIMIT 1").fetchall():
            continue
        view, keys = f"added_{name}", BY_NAME[name].replaced_by or ()
        same = " AND ".join(f"n.{key} IS NOT DISTINCT FROM o.{key}" for key in keys)
        con.execute(
            f"CREATE TEMP VIEW {view} AS SELECT * EXCLUDE (run_id) FROM {old}.{name} o WHERE "
            f"run_id = {run} AND NOT EXISTS (FROM {name} n WHERE n.run_id = {run} AND {same})"
        )
        insert(con, run_id, name, {name: describe(con, view)})
    if "selection_settings" in known:
        con.execute(
            "UPDATE selection_settings AS t SET created_at = o.created_at "
            f"FROM {old}.selection_settings o WHERE t.run_id = $1 AND o.run_id = $1 "
            "AND t.selection = o.selection AND t.fingerprint = o.fingerprint",
            [run_id],
        )
        con.execute(
            "UPDATE selections AS s SET created_at = t.created_at FROM selection_settings t "
            "WHERE s.run_id = $1 AND t.run_id = $1 AND s.selection = t.selection "
            "AND s.created_at IS DISTINCT FROM t.created_at",
            [run_id],
        )


def rename_splits(con: DuckDBPyConnection) -> None:
    """Rename the split `val` of older runs to `validation`, as in every run now."""
    known = columns(con)
    for table in TABLES:
        for column, old, new in RENAMED:
            if column in known.get(table.name, ()):
                statement = f'UPDATE {table.name} SET "{column}" = ? WHERE "{column}" = ?'
                con.execute(statement, [new, old])


def columns(con: DuckDBPyConnection, database: str | None = None) -> dict[str, list[str]]:
    """Return the column names of every table and view, in order."""
    where = quoted(database) if database else "current_database()"
    sql = (
        "SELECT table_name, list(column_name ORDER BY column_index) FROM duckdb_columns() "
        f"WHERE schema_name = 'main' AND database_name = {where} GROUP BY table_name"
    )
    return dict(con.execute(sql).fetchall())
