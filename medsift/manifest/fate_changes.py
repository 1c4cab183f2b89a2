"""Compare the fates of rows in two runs, of one manifest or of two, in one SQL join."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from medsift.manifest.connections import lock, start
from medsift.manifest.reading import attach, in_one_line
from medsift.manifest.views import EXPLANATION

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

ABSENT: Final = "absent"
SELECTED: Final = "selected"
CHANGES: Final = {
    "new": "not a row before",
    "gone": "no row any more",
    "returned": "dropped or failed before, kept now",
    "lost": "kept before, dropped or failed now",
    "entered": "kept, and in the selection now",
    "left": "kept, and no longer in the selection",
    "other_content": "its file says something else at that place",
    "other_reason": "dropped or failed for another reason",
    "other_witness": "dropped for another row",
}
"""Kinds of change and what they mean."""


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a comparison: a run of a manifest, or one of its selections."""

    manifest: Path
    run_id: str
    selection: str | None = None


def _side(name: str, database: str) -> str:
    """Return a table of fates: kept rows have no stage, and those of a selection are `selected`."""
    return f"""{name} AS (
    SELECT row_id, sample_id, reason, witness, {EXPLANATION} AS explanation,
           CASE WHEN action <> 'kept' THEN stage END AS stage,
           CASE WHEN action = 'kept' AND row_id IN (
               SELECT row_id FROM {database}.selections
               WHERE run_id = ${name}_run AND selection = ${name}_selection
           ) THEN '{SELECTED}' ELSE action END AS action
    FROM {database}.rows WHERE run_id = ${name}_run
)"""


_KIND: Final = f"""CASE
    WHEN action = '{ABSENT}' THEN 'new'
    WHEN other_action = '{ABSENT}' THEN 'gone'
    WHEN sample_id <> other_sample_id THEN 'other_content'
    WHEN action IN ('dropped', 'failed') AND other_action IN ('kept', '{SELECTED}') THEN 'returned'
    WHEN action IN ('kept', '{SELECTED}') AND other_action IN ('dropped', 'failed') THEN 'lost'
    WHEN other_action = '{SELECTED}' THEN 'entered'
    WHEN action = '{SELECTED}' THEN 'left'
    WHEN (action, stage, reason) IS DISTINCT FROM (other_action, other_stage, other_reason)
    THEN 'other_reason'
    ELSE 'other_witness'
END"""


def _changes(before: str, after: str) -> str:
    """Return the query for every changed row, with the fates that its witnesses have or had."""
    return f"""
CREATE OR REPLACE TEMP TABLE changes AS
WITH {_side("a", before)}, {_side("b", after)},
paired AS (
    SELECT coalesce(a.row_id, b.row_id) AS row_id, a.sample_id, b.sample_id AS other_sample_id,
           coalesce(a.action, '{ABSENT}') AS action, a.stage, a.reason, a.witness,
           coalesce(b.action, '{ABSENT}') AS other_action, b.stage AS other_stage,
           b.reason AS other_reason, b.witness AS other_witness,
           a.explanation, b.explanation AS other_explanation
    FROM a FULL JOIN b ON a.row_id = b.row_id
    WHERE (a.action, a.stage, a.reason, a.witness)
          IS DISTINCT FROM (b.action, b.stage, b.reason, b.witness)
          OR a.sample_id <> b.sample_id
),
named AS (SELECT row_id, {_KIND} AS change, * EXCLUDE (row_id) FROM paired)
SELECT p.*,
       CASE WHEN p.witness IS NOT NULL THEN coalesce(later.action, '{ABSENT}') END
         AS witness_is_now,
       CASE WHEN p.other_witness IS NOT NULL THEN coalesce(earlier.action, '{ABSENT}') END
         AS other_witness_was
FROM named p LEFT JOIN b later ON later.row_id = p.witness
LEFT JOIN a earlier ON earlier.row_id = p.other_witness
"""


ROWS: Final = "SELECT * FROM changes ORDER BY row_id"
COUNTS: Final = """
SELECT change, action, reason, other_action, other_reason, count(*) AS rows FROM changes
GROUP BY ALL ORDER BY rows DESC, change, action, reason, other_action, other_reason
"""


def fate_changes(before: Side, after: Side) -> tuple[pa.Table, pa.Table]:
    """Return the rows whose fate differs between two sides, and the counts by kind of change.

    A column without a prefix is the fate before, one with `other_` that after. `witness_is_now` is
    the action after of the row that was the witness before; `other_witness_was` is the action
    before of the row that is the witness after: they say why a row came back, or left.

    Raises:
        ManifestError: a side is no manifest.
    """
    with _attached(before.manifest, after.manifest) as (con, names):
        bound = {
            "a_run": before.run_id,
            "a_selection": before.selection,
            "b_run": after.run_id,
            "b_selection": after.selection,
        }
        con.execute(_changes(*names), bound)
        return con.sql(ROWS).to_arrow_table(), con.sql(COUNTS).to_arrow_table()


@contextmanager
def _attached(before: Path, after: Path) -> Iterator[tuple[DuckDBPyConnection, tuple[str, str]]]:
    """Yield an engine that reaches two manifests and nothing else, and their database names."""
    same = before.absolute() == after.absolute()
    with closing(start()) as con:
        attach(con, before, "before")
        if not same:
            attach(con, after, "after")
        lock(con)
        with in_one_line(after):
            yield con, ("before", "before" if same else "after")
