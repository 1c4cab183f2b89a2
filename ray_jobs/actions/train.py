"""A training as the command line starts it: from a recipe or from options, on Ray or here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ray_jobs.training_console import TrainingAudience, training_audience

if TYPE_CHECKING:
    from training.recipe import TrainingRecipe
    from training.run import Trained

BUILT_IN: Final = ("embedded", "embedded_vlm")


def chosen(
    named: str | None, options: Mapping[str, Any], overrides: Sequence[str]
) -> TrainingRecipe:
    """The recipe that a command line means: a file, changed by options, or options alone.

    Raises UsageError or RecipeError.
    """
    from medsift import recipe_yaml as yaml_recipe
    from medsift.errors import UsageError
    from ray_jobs.cli_args import recipe_path
    from training.recipe import TrainingRecipe, load_training

    settings = {
        "run": options["run"] and str(options["run"]),
        "selection": options["selection"],
        "base": options["base"] and _base(options["base"]),
    }
    settings = {key: value for key, value in settings.items() if value}
    if named is not None:
        given = load_training(recipe_path(named), overrides)
        return yaml_recipe.validated(TrainingRecipe, given.model_dump(mode="json") | settings)
    if "run" not in settings or "base" not in settings:
        raise UsageError("name a RECIPE, or a --run-dir that holds a selection and a --base")
    name = f"train-{settings.get('selection', 'newest')}"
    return yaml_recipe.validated(TrainingRecipe, {"name": name} | settings, overrides)


def train_and_tell(recipe: TrainingRecipe, *, ray: bool, log_json: bool) -> Trained:
    """Train, telling an audience how it goes.

    Relative paths are taken from here: the workers of a cluster stand in another directory. Any
    MedSiftError is passed on after being announced.
    """
    from ray_jobs.absolute_paths import anchored_training

    with training_audience(log_json) as listener:
        trained = _train(anchored_training(recipe, Path.cwd()), ray, listener)
        listener.finished(trained)
    return trained


def _train(recipe: TrainingRecipe, ray: bool, listener: TrainingAudience) -> Trained:
    from medsift.errors import MedSiftError

    try:
        if not ray:
            from training.run import train_here

            return train_here(recipe, listener)
        from ray_jobs.training import train_on_ray

        return train_on_ray(recipe, listener)
    except MedSiftError as error:
        listener.failed(error, error.exit_code)
        raise
    except KeyboardInterrupt as error:
        listener.failed(error, 130)
        raise


def _base(named: str) -> dict[str, Any]:
    """Settings of a base as the command line names it."""
    return {"kind": named} if named in BUILT_IN else {"kind": "transformers", "model": named}
