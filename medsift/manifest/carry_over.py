"""A run that is written again keeps what was added to it since it was first written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from medsift.manifest.load import Input, insert
from medsift.manifest.schema import TABLES, quoted
from medsift.manifest.upgrade import columns

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def keep_additions(con: DuckDBPyConnection, old: str, run_id: str) -> None:
    """Copy what later steps added to run `run_id` from database `old` into the current one.

    In tables that grow, lines of a name that the run has not just written stay: a selection made
    by hand, an export, a training, an evaluation. A selection that came out the same keeps the
    moment it was made, so that the newest one is still the newest.
    """
    held = columns(con, old)
    for table in TABLES:
        if table.replaced_by is not None and table.name in held:
            _keep(con, old, run_id, table.name, table.replaced_by)
    if "selection_settings" in held:
        _keep_moments(con, old, run_id)


def _keep(con: DuckDBPyConnection, old: str, run_id: str, table: str, keys: Sequence[str]) -> None:
    view, run = f"added_{table}", quoted(run_id)
    if not con.execute(f"SELECT 1 FROM {old}.{table} WHERE run_id = {run} LIMIT 1").fetchall():
        return
    same = " AND ".join(f"n.{key} IS NOT DISTINCT FROM o.{key}" for key in keys)
    con.execute(
        f"CREATE TEMP VIEW {view} AS SELECT * EXCLUDE (run_id) FROM {old}.{table} o WHERE run_id = "
        f"{run} AND NOT EXISTS (FROM {table} n WHERE n.run_id = {run} AND {same})"
    )
    found = con.execute(f"DESCRIBE {view}").fetchall()
    insert(con, run_id, table, {table: Input(view, {line[0]: line[1] for line in found})})


def _keep_moments(con: DuckDBPyConnection, old: str, run_id: str) -> None:
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
