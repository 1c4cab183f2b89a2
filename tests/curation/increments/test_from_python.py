"""Withdrawals, retries and differences from Python do what the commands do."""

from __future__ import annotations

import shutil
from pathlib import Path

import duckdb
import pytest

import medsift as ms
from medsift.manifest import read
from ray_jobs.cli import run as command
from tests.curation.increments.pools import contents, copy_rows, recipe_of
from tests.expect import raises_code


def copied(first: Path, folder: Path) -> ms.Run:
    """A copy of the run with a copy of its cache."""
    shutil.copytree(first, folder)
    manifest = folder / "run" / "manifest.duckdb"
    with duckdb.connect(str(manifest)) as con:
        con.execute("UPDATE runs SET recipe = replace(recipe, ?, ?)",
                    [str(first / "cache"), str(folder / "cache")])  # fmt: skip
    return ms.open_run(manifest.parent)


@pytest.fixture
def run(first, tmp_path) -> ms.Run:
    return copied(first, tmp_path / "own")


def test_rows_are_withdrawn_as_by_the_command(run, first, tmp_path, capsys):
    other = copied(first, tmp_path / "other").manifest.parent
    gone = run.kept["row_id"].to_pylist()[:3]
    listed = tmp_path / "gone.txt"
    listed.write_text("\n".join(gone))
    with raises_code("option_invalid"):
        ms.remove(run, rows=gone, source="p", ray=False)
    with raises_code("row_unknown"):
        ms.remove(run, rows=["p:none.jsonl:0"], ray=False)
    removed = ms.remove(run.manifest.parent, rows=gone, ray=False)
    assert removed is not None
    assert removed.rows == 3
    capsys.readouterr()
    assert command(["remove", str(other), "--rows", str(listed), "--local"]) == 0
    assert capsys.readouterr().out.strip() == str(removed)
    assert contents(run.manifest) == contents(other / "manifest.duckdb")
    assert not set(gone) & set(ms.open_run(run.manifest).kept["row_id"].to_pylist())
    assert ms.remove(run, ray=False) is None, "nothing is left to do"


def test_the_difference_of_an_increment_names_the_new_rows(first, files, phantoms, tmp_path):
    rows = copy_rows(files[:20], tmp_path / "rows")
    recipe = recipe_of(rows, phantoms, first / "cache")
    before = ms.curate(recipe, tmp_path / "run", ray=False)
    with raises_code("runs_too_few"):
        ms.diff(before.manifest)
    copy_rows(files[20:22], rows)
    after = ms.curate(recipe, tmp_path / "run", ray=False)
    found = ms.diff(tmp_path / "run")
    new = {line["row_id"] for line in found.rows.to_pylist() if line["change"] == "new"}
    assert new == {f"p:{file.name}:0" for file in files[20:22]}
    assert found.rows.equals(before.diff(after).rows)
    selected = ms.diff(after, selection="third").counts.to_pylist()
    chosen = "SELECT count(*) AS n FROM selections WHERE run_id = $1 AND selection = 'third'"
    count = read(after.manifest, chosen, [after.run_id])["n"][0].as_py()
    assert {line["change"]: line["rows"] for line in selected}["left"] == count
