"""The line that a job runs is one that the command understands, with the settings it was given."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from medsift import recipe_yaml
from ray_jobs.absolute_paths import evaluation_with_absolute_paths, study_with_absolute_paths
from ray_jobs.cli import program
from ray_jobs.jobs.pack import SETTINGS
from ray_jobs.jobs.spec import JobSpec
from ray_jobs.jobs.verbs import (
    construct_job,
    curate_job,
    evaluate_job,
    probe_job,
    select_job,
    study_job,
    train_job,
)
from tests.expect import raises_code


def parsed(spec: JobSpec) -> dict[str, object]:
    verb, *words = spec.words
    assert verb == spec.verb
    return program().commands[verb].make_context(verb, words).params


def written(spec: JobSpec, folder: Path) -> Path:
    path = folder / SETTINGS
    path.write_text(yaml.safe_dump(dict(spec.settings)), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("make", "shipped"),
    [
        (curate_job, "vqa_rad"),
        (train_job, "train_vqa_rad"),
        (evaluate_job, "evaluate_vqa_rad"),
        (study_job, "study_phantoms"),
    ],
    ids=["curate", "train", "evaluate", "study"],
)
def test_a_recipe_arrives_as_it_was_sent(make, shipped, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    spec = make(shipped, ["seed=3"], None)
    given = parsed(spec)
    assert given["recipe"] == SETTINGS
    assert given["ray"] in (True, None)
    again = make(str(written(spec, tmp_path)), [], None)
    assert again.settings == spec.settings
    assert spec.settings["seed"] == 3
    assert spec.run_dir.is_absolute()
    # In another folder relative paths would be others: those that are sent are not relative.
    other = tmp_path / "elsewhere"
    other.mkdir()
    monkeypatch.chdir(other)
    assert make(str(tmp_path / SETTINGS), [], None).settings == spec.settings


@pytest.mark.parametrize(
    ("make", "shipped"),
    [
        (curate_job, "vqa_rad"),
        (train_job, "train_vqa_rad"),
        (evaluate_job, "evaluate_vqa_rad"),
        (study_job, "study_phantoms"),
    ],
    ids=["curate", "train", "evaluate", "study"],
)
def test_a_run_directory_that_is_named_wins(make, shipped, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    spec = make(shipped, [], Path("runs/mine"))
    assert spec.run_dir == tmp_path / "runs" / "mine"
    given = parsed(spec)
    named = given.get("run_dir") or Path(spec.settings["run"])
    assert named == spec.run_dir
    assert spec.fingerprint != make(shipped, [], Path("runs/other")).fingerprint


def test_a_construction_arrives_as_it_was_sent(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    spec = construct_job("construct_phantoms", ["run=runs/a", "replies=kept"], None)
    assert parsed(spec)["recipe"] == SETTINGS
    assert spec.run_dir == tmp_path / "runs" / "a"
    assert spec.settings["replies"] == str(tmp_path / "kept")
    assert construct_job(str(written(spec, tmp_path)), [], None).settings == spec.settings
    assert construct_job("construct_phantoms", [], Path("b")).run_dir == tmp_path / "b"


def test_a_probe_takes_its_settings_with_it(tmp_path):
    spec = probe_job(tmp_path / "far", None, ["draws=7"])
    given = parsed(spec)
    assert (given["run_dir"], given["ray"], given["settings"]) == (tmp_path / "far", True, SETTINGS)
    assert spec.settings["draws"] == 7
    assert probe_job(tmp_path / "far", str(written(spec, tmp_path)), []).settings == spec.settings


def test_a_selection_is_checked_here_and_made_there(tmp_path):
    options = {"name": "few", "budget": "20%", "method": "deita", "seed": "3", "quality": None}
    spec = select_job(tmp_path / "far", options, ["max_cosine=0.8"], replace=True)
    given = parsed(spec)
    assert given["run_dir"] == tmp_path / "far"
    assert (given["name"], given["budget"], given["method"]) == ("few", "20%", "deita")
    assert (given["seed"], given["quality"], given["overrides"]) == (3, None, ["max_cosine=0.8"])
    assert (given["replace"], given["ray"]) == (True, True)
    changed = select_job(tmp_path / "far", options | {"budget": "10%"}, [], replace=True)
    assert changed.fingerprint != spec.fingerprint
    with raises_code("selection_invalid"):
        select_job(tmp_path, options | {"budget": "much"}, [], replace=False)


def test_paths_of_an_evaluation_become_absolute_and_names_on_a_hub_stay(tmp_path):
    from evaluation.recipe import EvaluationRecipe

    (tmp_path / "bench").mkdir()
    (tmp_path / "model").mkdir()
    settings = {
        "name": "e",
        "models": [
            {"kind": "image_text", "model": {"model": "model"}, "adapter": "lora", "label": "a"},
            {"kind": "image_text", "model": {"model": "owner/name"}, "label": "b"},
            {"kind": "recorded", "path": "replies.jsonl", "label": "c"},
        ],
        "benchmarks": [
            {"kind": "vqa_rad", "path": "bench"},
            {"kind": "slake", "path": "owner/set"},
        ],
    }
    moved = evaluation_with_absolute_paths(EvaluationRecipe.model_validate(settings), tmp_path)
    folder, hub, recorded = moved.models
    assert (folder.model.model, folder.adapter) == (f"{tmp_path}/model", tmp_path / "lora")
    assert hub.model.model == "owner/name"
    assert recorded.path == tmp_path / "replies.jsonl"
    assert [one.path for one in moved.benchmarks] == [f"{tmp_path}/bench", "owner/set"]
    assert moved.run_dir == tmp_path / "medsift-runs" / "e"
    assert evaluation_with_absolute_paths(moved, Path("/elsewhere")) == moved


def test_paths_of_a_study_become_absolute(tmp_path, write_study):
    from ray_jobs.study.recipe import StudyRecipe

    made = recipe_yaml.load(StudyRecipe, write_study(tmp_path))
    (tmp_path / "model").mkdir()
    base = made.training.base.model_copy(update={"model": "model"})
    training = made.training.model_copy(update={"base": base})
    relative = made.model_copy(update={"run": Path("run"), "training": training})
    moved = study_with_absolute_paths(relative, tmp_path)
    assert moved.run == tmp_path / "run"
    assert moved.training.base.model == f"{tmp_path}/model"
    assert study_with_absolute_paths(moved, Path("/elsewhere")) == moved
