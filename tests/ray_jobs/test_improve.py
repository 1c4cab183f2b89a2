"""`medsift improve` and `medsift quotas` as a user runs them, with the probe and with LoRA."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

import medsift as ms
from medsift.manifest import query
from ray_jobs.improve.recipe import ImproveRecipe
from tests.expect import raises_code

SETTINGS = {
    "name": "small",
    "budget": 24,
    "rounds": 1,
    "cells": ["task_type"],
    "validation": 0.3,
    "min_groups": 3,
    "curves": {"budgets": [0.2, 0.5, 1.0], "draws": 2, "resamples": 50},
}
TRAINING = {
    "base": {"kind": "embedded_vlm", "side": 3},
    "lora": {"rank": 2},
    "batches": {"max_samples": 8, "max_tokens": 1024},
    "steps": 1,
    "log": {"tensorboard": False},
}

EVALUATION = {"items": 12, "generation": {"max_new_tokens": 2}, "batch_size": 12}
LORA = {"trainer": "lora", "training": TRAINING, "evaluation": EVALUATION}


@pytest.fixture(scope="module")
def run_dir(planted_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the planted run that improvements may add to."""
    return shutil.copytree(planted_run, tmp_path_factory.mktemp("improved") / "run")


@pytest.fixture
def recipe_file(run_dir: Path, tmp_path: Path) -> Path:
    path = tmp_path / "improve.yaml"
    path.write_text(yaml.safe_dump(SETTINGS | {"run": str(run_dir)}), encoding="utf-8")
    return path


def test_the_command_prints_every_arm_and_the_stored_verdict(medsift, run_dir, recipe_file):
    said = medsift("improve", recipe_file, "--rounds", "2")
    assert said.code == 0, said.err
    [stored] = query(run_dir / "manifest.duckdb", "FROM improvements").to_pylist()
    assert stored["verdict"] in said.out
    for arm in ("proportional", "stratified", "one_shot", "loop 1", "loop 2"):
        assert any(line.startswith(arm) for line in said.out.splitlines())
    assert json.loads(stored["settings"])["rounds"] == 2
    answer = json.loads(medsift("improve", recipe_file, "--format", "json").out)
    assert {row["arm"] for row in answer["rounds"]} == {
        "loop",
        "one_shot",
        "proportional",
        "stratified",
    }


@pytest.mark.slow
def test_fine_tuning_may_be_the_learner(run_dir: Path):
    result = ms.improve(SETTINGS | {"run": run_dir} | LORA)
    assert result.facts["trainer"] == "lora"
    manifest = run_dir / "manifest.duckdb"
    sql = (
        "SELECT t.selection, t.status FROM improve_rounds r JOIN trainings t "
        f"USING (run_id, selection) WHERE r.improve_id = '{result.improve_id}' ORDER BY 1"
    )
    trained = query(manifest, sql).to_pylist()
    assert len(trained) == 4
    assert {row["status"] for row in trained} == {"done"}
    asked = query(manifest, "SELECT DISTINCT benchmark FROM evaluations")["benchmark"].to_pylist()
    assert set(asked) == {"small_validation", "small_test"}
    # The same again trains nothing anew and gives the same result.
    written = (run_dir / "trainings").glob("*/result/*")
    # An evaluation writes its figures into the model card, README.md.
    before = {path: path.stat().st_mtime_ns for path in written if path.name != "README.md"}
    assert before
    again = ms.improve(SETTINGS | {"run": run_dir} | LORA)
    assert again == result
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_quotas_of_a_run_can_be_copied_into_a_recipe(medsift, run_dir):
    said = medsift("quotas", run_dir, "--budget", "24", "--cells", "task_type")
    assert said.code == 0, said.err
    assert "quotas: {" in said.out
    answer = json.loads(
        medsift("quotas", run_dir, "--budget", "24", "--cells", "task_type", "--format", "json").out
    )
    quotas = yaml.safe_load(said.out.rsplit("quotas: ", 1)[1])
    assert quotas == answer["quotas"]
    assert medsift("quotas", run_dir, "--budget", "many").code == 2


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"trainer": "lora"}, "recipe"),
        ({"training": TRAINING}, "recipe"),
        ({"budget": "auto"}, "budget"),
        ({"test": {}}, "test"),
        ({"curves": {"budgets": [0.5, 0.1, 1.0]}}, "curves.budgets"),
        ({"rounds": 0}, "rounds"),
        ({"importance": {"a": -1.0}}, "importance"),
    ],
)
def test_a_wrong_recipe_is_refused_with_its_path(changes, path):
    with raises_code("recipe_invalid", paths=[path]):
        ms.improve(SETTINGS | {"run": "nowhere"} | changes)


def test_the_shipped_recipe_loads(monkeypatch):
    from medsift import recipe_yaml
    from ray_jobs.cli_args import recipe_path

    monkeypatch.setenv("MEDSIFT_RUN", "/somewhere")
    loaded = recipe_yaml.load(ImproveRecipe, recipe_path("improve_phantoms"))
    assert str(loaded.run) == "/somewhere"
    assert loaded.rounds_alone().rounds == 3
