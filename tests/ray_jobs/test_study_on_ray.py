"""A study on Ray: trials are tasks, and one that fails leaves the others be."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medsift import recipe_yaml
from medsift.execution import LocalExecutor
from medsift.manifest import read
from ray_jobs.study.plan import make_plan
from ray_jobs.study.recipe import StudyRecipe

ARMS = {"untrained", "full", "facility_location", "random", "stratified_random", "longest"}


@pytest.mark.ray
def test_a_trial_that_fails_is_one_line_and_the_others_go_on(
    one_worker: None, medsift: Any, write_study: Callable[..., Path], tmp_path: Path
) -> None:
    path, run = write_study(tmp_path, seeds=[0]), tmp_path / "run"
    plan = make_plan(recipe_yaml.load(StudyRecipe, path), LocalExecutor())
    [broken] = [trial for trial in plan.trials if trial.arm == "longest"]
    assert broken.training is not None
    state = broken.training.folder / "checkpoints" / "step-000001" / "state.json"
    state.parent.mkdir(parents=True)
    state.write_text("{")
    said = medsift("study", path, "--ray")
    assert said.code == 4
    assert said.error_code == "trials_failed"
    assert "1 of 6 trials failed, the first is tiny.longest.20pct.s0: " in said.error
    assert said.err.count(" failed: cannot read checkpoint") == 1
    assert ask(run, "SELECT status, failed FROM studies") == [{"status": "incomplete", "failed": 1}]
    [line] = ask(run, "SELECT * FROM study_trials WHERE status = 'failed'")
    assert (line["arm"], line["evaluation_id"]) == ("longest", None)
    assert "cannot read checkpoint" in line["error"]
    assert arms(run) == ARMS - {"longest"}
    shutil.rmtree(state.parent)
    again = medsift("study", path, "--local")
    assert again.code == 0, again.err
    assert again.err.count("reused") == 5
    assert ask(run, "SELECT status, failed FROM studies") == [{"status": "done", "failed": 0}]
    assert arms(run) == ARMS


def arms(run: Path) -> set[str]:
    """Arms with results."""
    return {line["arm"] for line in ask(run, "SELECT arm FROM study_results")}


def ask(run: Path, sql: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = read(run / "manifest.duckdb", sql).to_pylist()
    return found
