"""Run a training as the command line starts it: from a recipe or options, on Ray or locally."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from medsift.progress import Listener, TrainingFinished
from ray_jobs.heartbeat import beating
from ray_jobs.progress_views import announced

if TYPE_CHECKING:
    from training.recipe import TrainingRecipe
    from training.run import Trained

BUILT_IN: Final = ("embedded", "embedded_vlm")


def training_recipe(
    named: str | None, options: Mapping[str, Any], overrides: Sequence[str]
) -> TrainingRecipe:
    """Return the recipe of a file and options, or of options. Raises UsageError or RecipeError."""
    from medsift import recipe_yaml
    from medsift.errors import UsageError
    from ray_jobs.cli_args import recipe_path
    from training.recipe import TrainingRecipe, load_training

    base = options["base"]
    settings = {
        "run": str(options["run"]),
        "selection": options["selection"],
        "base": {"kind": base} if base in BUILT_IN else {"kind": "transformers", "model": base},
    }
    settings = {key: value for key, value in settings.items() if options[key]}
    if named is not None:
        loaded = load_training(recipe_path(named), overrides)
        return recipe_yaml.validated(TrainingRecipe, loaded.model_dump(mode="json") | settings)
    if "run" not in settings or "base" not in settings:
        message = "name a RECIPE, or a --run-dir that has a selection and a --base"
        raise UsageError(message, code="command_invalid")
    name = f"train-{settings.get('selection', 'newest')}"
    return recipe_yaml.validated(TrainingRecipe, {"name": name} | settings, overrides)


def train_and_report(recipe: TrainingRecipe, *, ray: bool, log_json: bool) -> Trained:
    """Train, and show the progress. Raises MedSiftError as the training does."""
    with announced(log_json) as listener:
        return train_quietly(recipe, ray, listener)


def train_quietly(recipe: TrainingRecipe, ray: bool, listener: Listener) -> Trained:
    """Train, and report to the listener alone. Raises MedSiftError as the training does.

    Relative paths are resolved here: the workers of a cluster stand in another directory.
    """
    from ray_jobs.absolute_paths import training_with_absolute_paths

    recipe = training_with_absolute_paths(recipe, Path.cwd())
    with beating(recipe.run, "train", listener) as beats:
        if ray:
            from ray_jobs.training import train_on_ray

            trained = train_on_ray(recipe, beats)
        else:
            from training.run import train_here

            trained = train_here(recipe, beats)
    training = trained.training
    listener(
        TrainingFinished(
            training_id=training.training_id,
            run_id=training.run_id,
            selection=training.selection,
            result=training.result,
            manifest=training.manifest,
            benchmarks=tuple(training.verdict.benchmarks),
            contaminated=training.verdict.contaminated,
            reused=trained.reused,
        )
    )
    return trained
