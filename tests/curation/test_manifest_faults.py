"""What a stranger changed in a manifest is named; a manifest of ours has no fault."""

from __future__ import annotations

import shutil
from pathlib import Path

import duckdb
import pytest

from medsift.manifest.faults import find_fault

CHANGES = {
    "recipe that is no JSON": ("UPDATE runs SET recipe = 'no JSON'", "recipe"),
    "recipe that is a list": ("UPDATE runs SET recipe = '[]'", "recipe"),
    "no recipe": ("UPDATE runs SET recipe = NULL", "recipe"),
    "rows of one name": ("UPDATE rows SET row_id = 'x'", "row_id"),
    "a run that is not there": ("UPDATE decisions SET run_id = 'x'", "run_id"),
    "samples without a row": ("UPDATE samples SET row_id = row_id || 'x'", "row_id"),
    "places of no sample": ("UPDATE selections SET place = place + 1000000", "place"),
    "samples without messages": ("UPDATE samples SET messages = NULL", "messages"),
    "another type": ("ALTER TABLE scores ALTER value TYPE VARCHAR", "value"),
    "no such column": ("ALTER TABLE scores DROP COLUMN value", "value"),
    "a view for a table": (
        "ALTER TABLE sweep RENAME TO swept; CREATE VIEW sweep AS FROM swept",
        "sweep",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_a_stranger_changed_is_named(name: str, phantom_run, tmp_path: Path) -> None:
    path = tmp_path / "manifest.duckdb"
    shutil.copyfile(phantom_run.manifest, path)
    assert find_fault(path) is None
    statements, named = CHANGES[name]
    with duckdb.connect(str(path)) as con:
        # The views go by the old columns.
        views = con.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall()
        for (view,) in views:
            con.execute(f"DROP VIEW {view}")
        con.execute(statements)
    fault = find_fault(path)
    assert fault is not None
    assert named in fault
    assert "\n" not in fault
