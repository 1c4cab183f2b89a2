"""Append a run to a copy of a manifest, so that the other runs are not written again.

DuckDB lets nobody read a file that a process writes to, so a run cannot be added to the file that
readers have open. It is added to a copy of the bytes, which costs nothing where the file system
shares blocks, and little elsewhere: rows of other runs are neither decompressed nor sorted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from medsift.manifest.schema import TABLES, quoted

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MOST_FREE: Final = 0.5
"""Share of a file's blocks that are free, above which it is written anew: runs were replaced."""
_LAYOUT: Final = """
SELECT 'table' AS kind, table_name AS name, sql FROM duckdb_tables() WHERE database_name = {0}
UNION ALL
SELECT 'view', view_name, sql FROM duckdb_views() WHERE NOT internal AND database_name = {0}
UNION ALL
SELECT 'function', function_name, 'defined' FROM duckdb_functions()
WHERE NOT internal AND database_name = {0}
"""


def can_append(con: DuckDBPyConnection, old: str, empty: str, run_id: str) -> bool:
    """Return whether a run is best added to a copy of database `old`.

    It is not where there is no other run, where the layout is not exactly that of the new manifest
    `empty`, or where most of the file would be free blocks of runs that were replaced.
    """
    same = con.execute(
        f"SELECT count(*) FROM ({_layout(old)}) o FULL JOIN ({_layout(empty)}) n "
        "USING (kind, name) WHERE o.sql IS DISTINCT FROM n.sql"
    ).fetchall() == [(0,)]
    if not same:
        return False
    sizes = "SELECT free_blocks, total_blocks FROM pragma_database_size() WHERE database_name = ?"
    [(free, blocks)] = con.execute(sizes, [old]).fetchall()
    if free > MOST_FREE * blocks:
        return False
    others = f"SELECT 1 FROM {old}.runs WHERE run_id <> ? LIMIT 1"
    return bool(con.execute(others, [run_id]).fetchall())


def read_through(con: DuckDBPyConnection, database: str) -> None:
    """Read every block of a database, so that damage is found before a run is added to it.

    Raises duckdb.Error for a block that does not have its checksum.
    """
    for table in TABLES:
        # Hashes need every value; counts are read off blocks of validity alone.
        con.execute(f"SELECT bit_xor(hash(t)) FROM {database}.{table.name} t").fetchall()


def remove_run(con: DuckDBPyConnection, run_id: str) -> None:
    """Remove a run from every table of the current database."""
    for table in TABLES:
        con.execute(f"DELETE FROM {table.name} WHERE run_id = ?", [run_id])


def _layout(database: str) -> str:
    return _LAYOUT.format(quoted(database))
