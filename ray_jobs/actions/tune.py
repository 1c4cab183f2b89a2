"""From rows to a model that was asked before and after its fine-tuning, by one recipe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydantic import Field

from medsift import recipe_yaml as yaml_recipe
from medsift.config import Config
from ray_jobs.evaluation_models import TrainedEvaluation, asked_model, looks

if TYPE_CHECKING:
    from evaluation.evaluate import EvaluationResult
    from evaluation.recipe import EvaluationRecipe
    from training.recipe import TrainingRecipe
    from training.run import Trained

BEFORE: Final = "before"
AFTER: Final = "after"
FLOOR: Final = {"kind": "majority"}


class TuningRecipe(Config):
    """The whole way: which recipes curate and train, and what is asked before and after."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    curation: str
    """A curation recipe: a YAML file or the name of a shipped one."""
    training: str
    """A training recipe, named alike; its run is the curated one, whatever it says."""
    selection: str | None = None
    """Selection to train on; what the training recipe says when not given."""
    evaluation: TrainedEvaluation


@dataclass(frozen=True, slots=True)
class Tuned:
    """A fine-tuning, and the evaluation of majority, model before and model after."""

    trained: Trained
    evaluation: EvaluationRecipe
    result: EvaluationResult


def load_tuning(path: Path, overrides: Sequence[str] = ()) -> TuningRecipe:
    """The recipe of a YAML file; see `yaml_recipe.load`. Raises RecipeError."""
    return yaml_recipe.load(TuningRecipe, path, overrides)


def training_of(
    recipe: TuningRecipe, run_dir: Path, overrides: Sequence[str] = ()
) -> TrainingRecipe:
    """The training that a recipe names, on a run. Raises RecipeError."""
    from ray_jobs.cli_args import recipe_path
    from training.recipe import TrainingRecipe, load_training

    found = load_training(recipe_path(recipe.training), overrides).model_dump(mode="json")
    given = {"run": str(run_dir.absolute())}
    if recipe.selection is not None:
        given["selection"] = recipe.selection
    return yaml_recipe.validated(TrainingRecipe, found | given)


def tune_and_ask(
    recipe: TuningRecipe, training: TrainingRecipe, cache: Path, *, ray: bool, log_json: bool
) -> Tuned:
    """Fine-tune on a curated run, then ask majority, model before and model after alike.

    Raises as the commands `train` and `evaluate` do, after announcing it.
    """
    from ray_jobs.actions.evaluate import evaluate_and_report
    from ray_jobs.actions.train import train_and_report

    trained = train_and_report(training, ray=ray, log_json=log_json)
    asked, sees = recipe.evaluation, looks(training.base)
    after = asked_model(AFTER, training, asked, sees=sees, result=trained.training.result)
    evaluation = asked.trial(
        name=recipe.name,
        seed=training.seed,
        run=training.run,
        cache=cache.absolute(),
        models=[FLOOR, asked_model(BEFORE, training, asked, sees=sees), after],
    )
    found = evaluate_and_report(evaluation, ray=ray, log_json=log_json)
    return Tuned(trained, evaluation, found)


def curate_tune_and_ask(
    recipe: TuningRecipe, run_dir: Path | None, *, ray: bool, log_json: bool
) -> Tuned:
    """Curate, fine-tune on the run, and evaluate before and after; see `tune_and_ask`.

    A wrong training recipe is refused before anything runs.
    """
    from curation.recipe import load_recipe
    from ray_jobs.actions.curate import curate_and_report
    from ray_jobs.cli_args import recipe_path

    curation = load_recipe(recipe_path(recipe.curation))
    target = run_dir or curation.run_dir
    training = training_of(recipe, target)
    curate_and_report(curation, target, ray=ray, log_json=log_json)
    return tune_and_ask(recipe, training, curation.cache_dir, ray=ray, log_json=log_json)
