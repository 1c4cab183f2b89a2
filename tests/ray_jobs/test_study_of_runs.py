"""Arms of a study that are runs of their own, as sets of constructed samples are."""

from __future__ import annotations

import json
import shutil

import pytest

from evaluation.study_results import rivals
from medsift import recipe_yaml
from medsift.manifest import read
from ray_jobs.absolute_paths import study_with_absolute_paths
from ray_jobs.cli_args import shipped
from ray_jobs.study.recipe import StudyRecipe
from ray_jobs.study.study import run_study


@pytest.fixture(scope="module")
def studied(write_study, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    write_study(folder)
    for name in ("plain", "shuffled"):
        shutil.copytree(folder / "run", folder / name)
    arms = {name: {"run": str(folder / name)} for name in ("plain", "shuffled")}
    path = write_study(folder, arms=arms, budgets=[], controls=["shuffled"], seeds=[0])
    return folder, run_study(recipe_yaml.load(StudyRecipe, path), False, lambda event: None)


def test_each_is_trained_on_all_of_its_own_run(studied):
    folder, result = studied
    assert not result.failed
    trials = {one.planned.arm: one.planned for one in result.trials}
    assert list(trials) == ["untrained", "plain", "shuffled", "full"]
    for name in ("plain", "shuffled"):
        assert trials[name].training.recipe.run == folder / name
        assert (trials[name].budget, trials[name].samples) == ("all", trials["full"].samples)
        sql = "SELECT training_id, selection FROM trainings"
        [line] = read(folder / name / "manifest.duckdb", sql).to_pylist()
        assert line["training_id"] == trials[name].training.training_id
    assert (folder / "run" / "studies" / "tiny" / "study.html").is_file()


def test_they_are_compared_with_full_data_and_with_the_control(studied):
    folder, _ = studied
    sql = (
        "SELECT arm, versus, test FROM study_results WHERE versus IS NOT NULL AND facet = 'all' "
        "AND metric = 'accuracy' AND test IS NOT NULL ORDER BY ALL"
    )
    lines = read(folder / "run" / "manifest.duckdb", sql).to_pylist()
    assert [tuple(line.values()) for line in lines] == [
        ("full", "untrained", "superiority"),
        ("plain", "full", "non-inferiority"),
        ("plain", "shuffled", "superiority"),
        ("shuffled", "full", "non-inferiority"),
    ]
    page = (folder / "run" / "studies" / "tiny" / "study.html").read_text(encoding="utf-8")
    assert "Less shuffled" in page


def test_a_control_is_never_compared_with_itself():
    assert ("shuffled", "superiority") in rivals("plain", ["shuffled"])
    assert "shuffled" not in [versus for versus, _ in rivals("shuffled", ["shuffled"])]


def given(**changed):
    return {
        "name": "s",
        "run": "runs/one",
        "training": {"base": {"kind": "embedded_vlm"}, "steps": 3},
        "evaluation": {"benchmarks": [{"kind": "phantoms", "path": "data"}]},
        "arms": {"plain": {"run": "runs/plain"}},
        "margin": 0.03,
        "equalise": "steps",
        **changed,
    }


def test_runs_need_no_budgets_and_bring_no_baselines(tmp_path):
    recipe = StudyRecipe.model_validate(given())
    assert list(recipe.all_arms) == ["plain"]
    moved = study_with_absolute_paths(recipe, tmp_path)
    assert moved.arms["plain"].run == tmp_path / "runs" / "plain"
    # Where a run lies is no part of what a study is.
    assert json.dumps(moved.decisive()) == json.dumps(recipe.decisive())
    both = StudyRecipe.model_validate(given(arms={"a": {}, "b": {"run": "x"}}, budgets=["5%"]))
    assert "random" in both.all_arms


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"budgets": ["5%"]}, "leave out budgets"),
        ({"arms": {"a": {}}}, "need budgets"),
        ({"controls": ["random"]}, "no arm"),
    ],
)
def test_what_does_not_fit_is_refused(changed, words):
    with pytest.raises(ValueError, match=words):
        StudyRecipe.model_validate(given(**changed))


def test_the_shipped_recipe_is_valid():
    recipe = recipe_yaml.load(StudyRecipe, shipped()["study_reasoning"])
    assert set(recipe.arms) == {"plain", "reflective", "shuffled"}
    assert recipe.controls == ("shuffled",)
