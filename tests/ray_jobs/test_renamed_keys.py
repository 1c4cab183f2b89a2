"""A key of an earlier version: refused in a recipe, read in what that version stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
from pydantic import Field

from medsift import recipe_yaml
from medsift.config import Config
from ray_jobs.study.recipe import StudyRecipe
from tests.expect import raises_code
from training.recipe import TrainingRecipe

TRAINING = {"name": "t", "run": "r", "base": {"kind": "embedded_vlm"}}
STUDY = {
    "name": "s",
    "run": "r",
    "training": {"base": {"kind": "embedded_vlm"}, "steps": 3},
    "evaluation": {"benchmarks": [{"kind": "phantoms", "path": "data"}]},
    "budgets": ["10%"],
    "margin": 0.1,
}
NOW = STUDY | {"equalise": "steps"}


@pytest.mark.parametrize(
    ("recipe", "settings", "path", "today"),
    [
        (TrainingRecipe, TRAINING | {"workers": {"least": 1}}, "workers.least", "min_count"),
        (StudyRecipe, STUDY | {"same": "steps"}, "same", "equalise"),
        (StudyRecipe, NOW | {"few_seeds": True}, "few_seeds", "allow_few_seeds"),
        (StudyRecipe, NOW | {"compute": {"cpus": 2}}, "compute.cpus", "cpus_per_trial"),
        (StudyRecipe, NOW | {"compute": {"gpus": 1}}, "compute.gpus", "gpus_per_trial"),
    ],
)
def test_an_old_key_is_refused_with_its_name_today(
    recipe: type[Config], settings: dict[str, Any], path: str, today: str
) -> None:
    with raises_code("recipe_invalid", paths=[path]) as caught:
        recipe_yaml.validated(recipe, settings)
    assert repr(today) in str(caught.value)


def test_what_an_earlier_version_stored_is_read() -> None:
    training = TrainingRecipe.from_stored(TRAINING | {"workers": {"count": 3, "least": 2}})
    assert training.workers.min_count == 2
    study = StudyRecipe.from_stored(STUDY | {"same": "steps", "compute": {"cpus": 4}})
    assert (study.equalise, study.compute.cpus_per_trial) == ("steps", 4)


def test_a_better_name_makes_no_other_study() -> None:
    decisive = StudyRecipe.model_validate(NOW).decisive()
    assert decisive["same"] == "steps"
    assert "least" in decisive["training"]["workers"]


class Inner(Config):
    """A group whose key got a better name twice."""

    third: int = 0
    renamed_keys: ClassVar[Mapping[str, str]] = {"first": "third", "second": "third"}


class Outer(Config):
    """Groups in a list and in a mapping."""

    several: tuple[Inner, ...] = (Inner(third=1),)
    named: dict[str, Inner] = Field(default_factory=lambda: {"a": Inner(third=2)})


def test_first_names_are_found_below_lists_and_mappings() -> None:
    outer = Outer()
    dumped = outer.with_first_names(outer.model_dump(mode="json"))
    assert dumped == {"several": [{"first": 1}], "named": {"a": {"first": 2}}}
    assert Outer.from_stored(dumped) == outer
