"""A small benchmark of phantoms, and evaluations of it that several tests read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from curation.phantoms import PhantomSet, make_phantoms
from evaluation.evaluate import EvaluationResult, evaluate
from evaluation.recipe import EvaluationRecipe
from medsift import recipe_yaml as yaml_recipe
from medsift.execution import LocalExecutor

MakeRecipe = Callable[..., EvaluationRecipe]


@pytest.fixture(scope="session")
def phantom_set(tmp_path_factory: pytest.TempPathFactory) -> PhantomSet:
    """Two dozen pictures and their questions."""
    return make_phantoms(tmp_path_factory.mktemp("bench") / "phantoms", images=24, seed=3)


@pytest.fixture
def make_recipe(tmp_path: Path, phantom_set: PhantomSet) -> MakeRecipe:
    """A recipe over the phantoms, answered by the majority unless told otherwise."""

    def made(**settings: Any) -> EvaluationRecipe:
        whole = {
            "name": "small",
            "runs": str(tmp_path / "runs"),
            "models": [{"kind": "majority"}],
            "benchmarks": [{"kind": "phantoms", "path": str(phantom_set.root), "split": "train"}],
            "resampling": {"draws": 199},
            **settings,
        }
        return yaml_recipe.validated(EvaluationRecipe, whole)

    return made


@pytest.fixture
def run_recipe(make_recipe: MakeRecipe) -> Callable[..., EvaluationResult]:
    """Evaluate in this process."""
    return lambda **settings: evaluate(make_recipe(**settings), LocalExecutor())


@pytest.fixture(scope="session")
def baselines(
    tmp_path_factory: pytest.TempPathFactory, phantom_set: PhantomSet
) -> EvaluationResult:
    """Majority and prior on the phantoms in a few variants."""
    settings = {
        "name": "baselines",
        "runs": str(tmp_path_factory.mktemp("baselines")),
        "models": [{"kind": "majority"}, {"kind": "prior"}],
        "benchmarks": [{"kind": "phantoms", "path": str(phantom_set.root), "split": "train"}],
        "variants": ["no_image", "swapped_image", "rotation", "paraphrase", "typos"],
    }
    return evaluate(yaml_recipe.validated(EvaluationRecipe, settings), LocalExecutor())
