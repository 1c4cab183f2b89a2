"""Fill a new manifest with one run of an old one, and record the withdrawals that led to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from medsift.manifest.schema import BY_NAME, TABLES

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

CARRIED: Final = (
    "exports",
    "trainings",
    "training_steps",
    "training_drops",
    "checkpoints",
    "evaluations",
    "predictions",
    "reliability",
    "metrics",
    "studies",
    "study_trials",
    "study_results",
    "withdrawals",
    "withdrawal_uses",
)
"""Tables about things outside a pool, which stay true when rows of it are withdrawn."""
_ABOUT_GONE: Final = {
    "training_drops": "o.row_id IN (SELECT row_id FROM gone)",
    "predictions": "o.item_id IN (SELECT row_id FROM gone) "
    "OR o.image_id IN (SELECT image_id FROM unseen)",
}
"""Lines about withdrawn rows and their pictures, which are not carried."""

_USES: Final = """
WITH held AS (
    SELECT run_id, selection, max(created_at) AS made,
           count(*) FILTER (row_id IN (SELECT row_id FROM gone)) AS rows
    FROM old.selections GROUP BY ALL
)
SELECT 'selection' AS kind, selection AS name, NULL::VARCHAR AS path, max(rows) AS rows
FROM held WHERE rows > 0 AND run_id <> $run GROUP BY ALL
UNION ALL
SELECT 'export', e.selection, e.path, CASE WHEN h.made <= e.created_at THEN h.rows END
FROM old.exports e LEFT JOIN held h USING (run_id, selection)
WHERE run_id <> $run AND coalesce(h.rows > 0 OR h.made > e.created_at, true)
UNION ALL
SELECT 'training', t.training_id, t.adapter, CASE WHEN h.made <= t.created_at THEN h.rows END
FROM old.trainings t LEFT JOIN held h USING (run_id, selection)
WHERE run_id <> $run AND coalesce(h.rows > 0 OR h.made > t.created_at, true)
UNION ALL
SELECT 'construction', c.construct_id, c.path, count(DISTINCT t.row_id)
FROM old.constructions c JOIN old.traces t USING (run_id, construct_id)
WHERE run_id <> $run AND t.row_id IN (SELECT row_id FROM gone) GROUP BY ALL
"""


def copy_and_record(
    con: DuckDBPyConnection, run_id: str, withdrawals: str, gone: Sequence[str]
) -> None:
    """Copy run `run_id` from database `old`, carry records over to it, and record withdrawals.

    Args:
        con: The building connection; its current database is the new manifest.
        run_id: The run that stays.
        withdrawals: View of new lines of the table `withdrawals`, without `images`.
        gone: Ids of the withdrawn rows, to find what had used them.
    """
    for table in TABLES:
        con.execute(
            f"INSERT INTO {table.name} BY NAME FROM old.{table.name} WHERE run_id = ?", [run_id]
        )
    con.execute("CREATE TEMP TABLE gone AS SELECT unnest($1::VARCHAR[]) AS row_id", [list(gone)])
    con.execute(
        "CREATE TEMP TABLE unseen AS SELECT DISTINCT o.image_id FROM old.images o ANTI JOIN "
        "(SELECT image_id FROM old.images WHERE run_id = ?) k ON k.image_id = o.image_id",
        [run_id],
    )
    for name in CARRIED:
        _carry(con, name, run_id)
    con.execute(
        "INSERT INTO withdrawals BY NAME SELECT $run AS run_id, a.*, "
        f"(SELECT count(*) FROM unseen) AS images FROM {withdrawals} a",
        {"run": run_id},
    )
    con.execute(
        "INSERT INTO withdrawal_uses BY NAME SELECT $run AS run_id, a.withdrawal_id, u.* "
        f"FROM (SELECT max_by(withdrawal_id, created_at) AS withdrawal_id FROM {withdrawals}) a, "
        f"({_USES}) u",
        {"run": run_id},
    )


def _carry(con: DuckDBPyConnection, name: str, run_id: str) -> None:
    """Copy a table's lines of other runs, as lines of `run_id`; of equal names the newest run's."""
    keys = ", ".join(f"o.{key}" for key in BY_NAME[name].replaced_by or ())
    about = _ABOUT_GONE.get(name, "false")
    con.execute(
        f"INSERT INTO {name} BY NAME SELECT o.* REPLACE ($run AS run_id) FROM old.{name} o "
        f"JOIN old.runs r ON r.run_id = o.run_id WHERE o.run_id <> $run AND NOT ({about}) "
        f"QUALIFY rank() OVER (PARTITION BY {keys} ORDER BY r.created_at DESC, r.run_id) = 1",
        {"run": run_id},
    )
