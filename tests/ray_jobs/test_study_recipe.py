"""A study's recipe: what it asks for, and what is refused in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from curation.selection.budget import BudgetConfig
from medsift import recipe_yaml
from ray_jobs.cli_args import shipped
from ray_jobs.study.plan import selection_name
from ray_jobs.study.recipe import StudyRecipe
from tests.expect import raises_code


def settings(**changed: Any) -> dict[str, Any]:
    return {
        "name": "enough",
        "run": "runs/one",
        "training": {"base": {"kind": "embedded_vlm"}, "steps": 30},
        "evaluation": {"benchmarks": [{"kind": "phantoms", "path": "data"}]},
        "budgets": ["10%", 50],
        "margin": 0.03,
        "equalise": "steps",
        **changed,
    }


def loaded(tmp_path: Path, **changed: Any) -> StudyRecipe:
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(settings(**changed)), encoding="utf-8")
    return recipe_yaml.load(StudyRecipe, path)


def test_the_baselines_are_always_there_and_facility_location_by_default(tmp_path: Path) -> None:
    recipe = loaded(tmp_path)
    assert list(recipe.all_arms) == ["facility_location", "random", "stratified_random", "longest"]
    assert [arm for arm, one in recipe.all_arms.items() if one.is_random] == [
        "random",
        "stratified_random",
    ]
    assert recipe.seeds == (0, 1, 2)


def test_a_trial_is_trained_and_asked_as_the_recipe_says(tmp_path: Path) -> None:
    recipe = loaded(tmp_path)
    training = recipe.training.trial(name="t", seed=7, run=Path("r"), selection="s")
    assert (training.steps, training.seed, training.selection) == (30, 7, "s")
    assert training.base == recipe.training.base
    asked = recipe.evaluation.trial(name="t", models=[{"kind": "prior"}], seed=7)
    assert asked.benchmarks == recipe.evaluation.benchmarks
    assert (asked.models[0].kind, asked.seed) == ("prior", 7)


def test_what_is_written_out_makes_the_recipe_again(tmp_path: Path) -> None:
    arms = {"k": {"method": {"kind": "k_center"}, "quotas": {"kind": "equal"}}}
    recipe = loaded(tmp_path, arms=arms)
    assert StudyRecipe.model_validate(recipe.resolved()) == recipe


@pytest.mark.parametrize(
    ("changed", "alike"),
    [
        ({"run": "elsewhere", "cache": "c", "compute": {"ray": False}}, True),
        ({"margin": 0.05}, False),
        ({"seeds": [3, 4, 5]}, False),
        ({"budgets": ["10%"]}, False),
    ],
)
def test_places_and_compute_do_not_decide_what_the_study_is(
    tmp_path: Path, changed: dict[str, Any], alike: bool
) -> None:
    same = loaded(tmp_path).decisive() == loaded(tmp_path, **changed).decisive()
    assert same is alike


def test_draws_have_a_selection_for_every_seed_and_others_one_for_all(tmp_path: Path) -> None:
    recipe, budget = loaded(tmp_path), BudgetConfig(fraction=0.1)
    names = {
        arm: [selection_name(recipe, arm, one, budget, seed) for seed in (0, 1)]
        for arm, one in recipe.all_arms.items()
    }
    assert names["random"] == ["enough.random.10pct.s0", "enough.random.10pct.s1"]
    assert names["facility_location"] == ["enough.facility_location.10pct"] * 2


TRAINING = {"base": {"kind": "embedded_vlm"}, "steps": 3}
EVALUATION = {"benchmarks": [{"kind": "phantoms", "path": "data"}]}


@pytest.mark.parametrize(
    ("changed", "path"),
    [
        ({"seeds": [0, 1]}, "recipe"),
        ({"seeds": [0, 0, 1]}, "seeds"),
        ({"budgets": ["100%"]}, "budgets"),
        ({"budgets": ["100tokens"]}, "budgets"),
        ({"budgets": ["10%", 0.1]}, "budgets"),
        ({"budgets": []}, "budgets"),
        ({"arms": {"random": {}}}, "arms"),
        ({"arms": {"a.b": {}}}, "arms"),
        ({"arms": {}}, "arms"),
        ({"margin": 3}, "margin"),
        ({"equalise": "epochs"}, "recipe"),
        ({"equalise": "time"}, "equalise"),
        ({"training": TRAINING | {"selection": "mine"}}, "training"),
        (
            {"training": TRAINING | {"data": {"held_out": {"share": 0.1}}, "early_stopping": {}}},
            "training",
        ),
        ({"training": TRAINING | {"checkpoints": {"storage": "s3://b/t"}}}, "training"),
        ({"evaluation": EVALUATION | {"models": [{"kind": "prior"}]}}, "evaluation"),
        ({"evaluation": {"benchmarks": []}}, "evaluation.benchmarks"),
        ({"marign": 0.03}, "marign"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(
    tmp_path: Path, changed: dict[str, Any], path: str
) -> None:
    with raises_code("recipe_invalid", paths=[path]) as caught:
        loaded(tmp_path, **changed)
    assert "\n" not in str(caught.value)


def test_few_seeds_go_on_where_the_recipe_says_so(tmp_path: Path) -> None:
    assert loaded(tmp_path, seeds=[5], allow_few_seeds=True).seeds == (5,)


def test_the_shipped_study_has_three_seeds_and_two_budgets() -> None:
    recipe = recipe_yaml.load(StudyRecipe, shipped()["study_phantoms"])
    assert (len(recipe.seeds), len(recipe.budgets)) == (3, 2)
