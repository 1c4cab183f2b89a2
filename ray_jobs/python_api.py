"""Curate, train, evaluate and improve from Python, with the functions that the commands call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medsift import recipe_yaml
from medsift.progress import Listener, silent
from medsift.recipe_yaml import Model

if TYPE_CHECKING:
    from curation.improve.improve import ImproveResult
    from curation.recipe import Recipe
    from curation.run import Run
    from evaluation.evaluate import EvaluationResult
    from evaluation.recipe import EvaluationRecipe
    from ray_jobs.improve.recipe import ImproveRecipe
    from training.recipe import TrainingRecipe
    from training.run import Trained


def curate(
    recipe: str | Path | Mapping[str, Any] | Recipe,
    run_dir: str | Path | None = None,
    *,
    set: Sequence[str] = (),
    ray: bool | None = None,
    listener: Listener = silent,
) -> Run:
    """Run a recipe and return the run; finished stages are reused.

    Args:
        recipe: A YAML file, the name of a shipped recipe, an `ms.Recipe`, or its settings.
        run_dir: Where the run is kept; the folder that the recipe names when not given.
        set: Changes of single settings, each ``"a.b=value"``.
        ray: Run on Ray, or in this process; as the recipe says when not given.
        listener: Called with every event of the run.

    Raises:
        MedSiftError: as `medsift curate`; its `code` says what went wrong.
    """
    from curation.recipe import Recipe
    from curation.run import Run
    from ray_jobs.actions.curate import curate_quietly

    loaded = _loaded(Recipe, recipe, set)
    target = Path(run_dir) if run_dir is not None else loaded.run_dir
    on_ray = loaded.compute.ray if ray is None else ray
    result = curate_quietly(loaded, target, on_ray, listener)
    return Run(result.manifest, result.run_id)


def train(
    recipe: str | Path | Mapping[str, Any] | TrainingRecipe,
    *,
    set: Sequence[str] = (),
    ray: bool = True,
    listener: Listener = silent,
) -> Trained:
    """Fine-tune a model on a selection and return the adapter's place and lineage.

    Args:
        recipe: A YAML file, the name of a shipped recipe, a `TrainingRecipe`, or its settings, for
            example ``{"name": "small", "run": "medsift-runs/vqa_rad", …}``.
        set: Changes of single settings, each ``"a.b=value"``.
        ray: Train on Ray Train, or in this process.
        listener: Called with every event of the training.

    Raises:
        MedSiftError: as `medsift train`.
    """
    from ray_jobs.actions.train import train_quietly
    from training.recipe import TrainingRecipe

    loaded = _loaded(TrainingRecipe, recipe, set)
    return train_quietly(loaded, ray, listener)


def evaluate(
    recipe: str | Path | Mapping[str, Any] | EvaluationRecipe,
    *,
    set: Sequence[str] = (),
    ray: bool | None = None,
    listener: Listener = silent,
) -> EvaluationResult:
    """Ask models about benchmarks, score the replies, and return the metrics and their manifest.

    Args:
        recipe: A YAML file, the name of a shipped recipe, an `EvaluationRecipe`, or its settings.
        set: Changes of single settings, each ``"a.b=value"``.
        ray: Ask on Ray, or in this process; as the recipe says when not given.
        listener: Called with every event of the evaluation.

    Raises:
        MedSiftError: as `medsift evaluate`.
    """
    from evaluation.recipe import EvaluationRecipe
    from ray_jobs.actions.evaluate import evaluate_quietly

    loaded = _loaded(EvaluationRecipe, recipe, set)
    return evaluate_quietly(loaded, loaded.compute.ray if ray is None else ray, listener)


def improve(
    recipe: str | Path | Mapping[str, Any] | ImproveRecipe,
    *,
    rounds: int | None = None,
    set: Sequence[str] = (),
    ray: bool = False,
    listener: Listener = silent,
) -> ImproveResult:
    """Move quotas by what a learner gets wrong, round by round; print the result for its verdict.

    Args:
        recipe: A YAML file, the name of a shipped recipe, an `ImproveRecipe`, or its settings.
        rounds: Rounds of the loop; as the recipe says when not given.
        set: Changes of single settings, each ``"a.b=value"``.
        ray: Train on Ray, or in this process.
        listener: Called with every event.

    Raises:
        MedSiftError: as `medsift improve`.
    """
    from ray_jobs.improve.improve import improve as run_improve
    from ray_jobs.improve.recipe import ImproveRecipe

    changes = [*set, *([] if rounds is None else [f"rounds={rounds}"])]
    return run_improve(_loaded(ImproveRecipe, recipe, changes), ray, listener)


def _loaded(kind: type[Model], recipe: Any, changes: Sequence[str]) -> Model:
    """Return a recipe of a kind from a file, a shipped name, settings or itself, with changes.

    Raises:
        RecipeError: there is no such recipe, or it is not valid.
    """
    from ray_jobs.cli_args import recipe_path

    if isinstance(recipe, (str, Path)):
        return recipe_yaml.load(kind, recipe_path(str(recipe)), changes)
    if isinstance(recipe, kind) and not changes:
        return recipe
    settings = dict(recipe) if isinstance(recipe, Mapping) else recipe.model_dump(mode="json")
    return recipe_yaml.validated(kind, settings, changes)
