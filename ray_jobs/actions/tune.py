"""Curate, fine-tune and evaluate before and after, by one recipe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from medsift import recipe_yaml
from medsift.config import Config
from ray_jobs.evaluation_models import TrainedEvaluation, generator_settings, takes_images

if TYPE_CHECKING:
    from evaluation.evaluate import EvaluationResult
    from evaluation.recipe import EvaluationRecipe
    from training.recipe import TrainingRecipe
    from training.run import Trained


class TuningRecipe(Config):
    """Settings of a tuning: the recipes that curate and train, and the evaluation."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    """Name of the evaluation: letters, digits, `_`, `.` and `-`."""
    curation: str
    """A curation recipe: a YAML file or the name of a shipped one."""
    training: str
    """A training recipe: a YAML file or the name of a shipped one. It trains on the curated run,
    and its key `run` has no effect."""
    selection: str | None = None
    """Selection to train on; as the training recipe says when not given."""
    evaluation: TrainedEvaluation
    """Benchmarks, prompts and rules of the evaluation before and after training."""


@dataclass(frozen=True, slots=True)
class Tuned:
    """A fine-tuning, and the evaluation of majority baseline, model before and model after."""

    trained: Trained
    evaluation: EvaluationRecipe
    result: EvaluationResult


def training_of(
    recipe: TuningRecipe, run_dir: Path, overrides: Sequence[str] = ()
) -> TrainingRecipe:
    """Return the training recipe that a tuning names, for a run. Raises RecipeError."""
    from ray_jobs.cli_args import recipe_path
    from training.recipe import TrainingRecipe, load_training

    settings = load_training(recipe_path(recipe.training), overrides).model_dump(mode="json")
    settings["run"] = str(run_dir.absolute())
    if recipe.selection is not None:
        settings["selection"] = recipe.selection
    return recipe_yaml.validated(TrainingRecipe, settings)


def train_and_compare(
    recipe: TuningRecipe, training: TrainingRecipe, cache: Path, *, ray: bool, log_json: bool
) -> Tuned:
    """Fine-tune on a curated run, then evaluate majority baseline, model before and model after.

    Args:
        recipe: has the name and the settings of the evaluation.
        training: what is trained; its `run` is the curated run.
        cache: folder of replies and pictures that evaluations share.
        ray: whether the work runs on Ray instead of in this process.
        log_json: whether progress is JSON lines on stdout instead of a view on the terminal.

    Raises:
        MedSiftError: as the commands `train` and `evaluate` do.
    """
    from ray_jobs.actions.evaluate import evaluate_and_report
    from ray_jobs.actions.train import train_and_report

    trained = train_and_report(training, ray=ray, log_json=log_json)
    settings, sees = recipe.evaluation, takes_images(training.base)
    result = trained.training.result
    evaluation = settings.trial(
        name=recipe.name,
        seed=training.seed,
        run=training.run,
        cache=cache.absolute(),
        models=[
            {"kind": "majority"},
            generator_settings("before", training, settings, sees=sees),
            generator_settings("after", training, settings, sees=sees, result=result),
        ],
    )
    evaluated = evaluate_and_report(evaluation, ray=ray, log_json=log_json)
    return Tuned(trained, evaluation, evaluated)


def curate_train_and_compare(
    recipe: TuningRecipe, run_dir: Path | None, *, ray: bool, log_json: bool
) -> Tuned:
    """Curate, fine-tune on the run, and evaluate before and after; see `train_and_compare`.

    A wrong training recipe is refused before anything runs.

    Args:
        recipe: names the curation recipe and the training recipe.
        run_dir: where the run is written; the curation recipe's own folder when None.
        ray: whether the work runs on Ray instead of in this process.
        log_json: whether progress is JSON lines on stdout instead of a view on the terminal.
    """
    from curation.recipe import load_recipe
    from ray_jobs.actions.curate import curate_and_report
    from ray_jobs.cli_args import recipe_path

    curation = load_recipe(recipe_path(recipe.curation))
    target = run_dir or curation.run_dir
    training = training_of(recipe, target)
    curate_and_report(curation, target, ray=ray, log_json=log_json)
    return train_and_compare(recipe, training, curation.cache_dir, ray=ray, log_json=log_json)
