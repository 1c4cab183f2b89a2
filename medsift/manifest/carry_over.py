"""Keep what later commands added to a run when the run is written again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medsift.manifest.load import describe, insert
from medsift.manifest.schema import BY_NAME, TABLES, quoted
from medsift.manifest.upgrade import columns

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


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
