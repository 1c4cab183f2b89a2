"""Find what is wrong with somebody else's manifest, when a command fails on it.

A manifest that MedSift wrote has its layout, valid JSON and consistent keys. Where one of these is
broken, the manifest explains the failure; otherwise MedSift has a bug.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

from medsift.errors import ManifestError
from medsift.manifest.reading import in_one_line, open_manifest
from medsift.manifest.schema import SCHEMA_VERSION, TABLES
from medsift.manifest.table import Column, Table

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

KEYS: Final = {
    "runs": ("run_id",),
    "stages": ("run_id", "stage"),
    "rows": ("run_id", "row_id"),
    "samples": ("run_id", "row_id"),
    "selections": ("run_id", "selection", "rank"),
    "selection_settings": ("run_id", "selection"),
    "evaluations": ("run_id", "evaluation_id"),
    "trainings": ("run_id", "training_id"),
}
"""Columns whose values name one line of their table."""
ALWAYS_GIVEN: Final = {
    "runs": ("recipe", "created_at", "schema_version"),
    "stages": ("fingerprint",),
    "samples": ("messages", "images", "place"),
    "selections": ("place", "created_at"),
}
"""Columns that every run fills, next to those that a table requires."""
REFERENCES: Final = (
    *((table.name, ("run_id",), "runs") for table in TABLES[1:]),
    ("samples", ("run_id", "row_id"), "rows"),
    ("selections", ("run_id", "row_id"), "samples"),
    ("selections", ("place",), "samples"),
    ("selections", ("run_id", "selection"), "selection_settings"),
    ("scores", ("run_id", "sample_id"), "samples"),
    ("predictions", ("run_id", "evaluation_id"), "evaluations"),
    ("metrics", ("run_id", "evaluation_id"), "evaluations"),
)
"""Table, columns, and the table that must have the same values."""


def find_fault(path: Path) -> str | None:
    """Return in one line how a manifest differs from what MedSift writes; None if it does not.

    This reads every key and every JSON of the file, so it is called only after a failure.
    """
    try:
        with closing(open_manifest(path)) as con, in_one_line(path):
            return next(_faults(con), None)
    except ManifestError as error:
        return str(error)


def _faults(con: DuckDBPyConnection) -> Iterator[str]:
    tables = dict(con.execute(_TABLE_COLUMNS).fetchall())
    yield from _of_layout(con, tables)
    for table in (table for table in TABLES if table.name in tables):
        yield from _of_values(con, table, tables[table.name])
    for name, key in KEYS.items():
        if set(key) <= set(tables.get(name, ())):
            listed = ", ".join(key)
            sql = f"SELECT 1 FROM {name} GROUP BY {listed} HAVING count(*) > 1 LIMIT 1"
            if con.execute(sql).fetchall():
                yield f"several lines of its table {name} have one {listed}"
    for name, key, target in REFERENCES:
        if set(key) <= set(tables.get(name, ())) & set(tables.get(target, ())):
            listed = ", ".join(key)
            sql = f"SELECT 1 FROM {name} ANTI JOIN {target} USING ({listed}) LIMIT 1"
            if con.execute(sql).fetchall():
                yield f"its table {name} names a {listed} that its table {target} does not have"


_TABLE_COLUMNS: Final = """
SELECT table_name, map_from_entries(list((column_name, data_type))) FROM duckdb_columns()
WHERE database_name = current_database() AND schema_name = 'main' AND table_oid IN
    (SELECT table_oid FROM duckdb_tables() WHERE database_name = current_database())
GROUP BY table_name
"""


def _of_layout(con: DuckDBPyConnection, tables: dict[str, dict[str, str]]) -> Iterator[str]:
    """Yield tables and columns that are absent or of another type; older layouts lack some."""
    newest = con.execute("SELECT max(schema_version) FROM runs").fetchall()[0][0]
    for table in TABLES:
        types = tables.get(table.name)
        if types is None:
            if newest == SCHEMA_VERSION:
                yield f"it has no table {table.name}"
            continue
        for column in (Column("run_id", "VARCHAR", ""), *table.columns):
            kind = types.get(column.name)
            if kind is None and newest == SCHEMA_VERSION:
                yield f"its table {table.name} has no column {column.name}"
            # DuckDB has names of its own for some types.
            [(expected,)] = con.execute(f"SELECT typeof(NULL::{column.type})").fetchall()
            if kind is not None and kind != expected:
                yield f"column {column.name} of its table {table.name} is {kind}, not {column.type}"


def _of_values(con: DuckDBPyConnection, table: Table, types: dict[str, str]) -> Iterator[str]:
    """Yield columns that lack a required value, or whose text is no JSON object."""
    checks = [("run_id", "run_id IS NULL", "no value")]
    for column in (column for column in table.columns if column.name in types):
        if column.required or column.name in ALWAYS_GIVEN.get(table.name, ()):
            checks.append((column.name, f'"{column.name}" IS NULL', "no value"))
        if column.meaning.endswith(("JSON", "JSON object")):
            # A CASE, because DuckDB may evaluate both sides of an AND, and json_type of other text
            # is an error.
            kind = f'CASE WHEN json_valid("{column.name}") THEN json_type("{column.name}") END'
            wrong = f"\"{column.name}\" IS NOT NULL AND {kind} IS DISTINCT FROM 'OBJECT'"
            checks.append((column.name, wrong, "no JSON object"))
    for name, wrong, words in checks:
        if con.execute(f"SELECT 1 FROM {table.name} WHERE {wrong} LIMIT 1").fetchall():
            yield f"column {name} of its table {table.name} has {words} in some line"
