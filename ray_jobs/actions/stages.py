"""Run stages one after the other: what is finished is reused, and a killed command continues."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from medsift.errors import InputError
from medsift.manifest.reading import read
from medsift.progress import Listener
from medsift.vocabulary import MANIFEST_NAME

if TYPE_CHECKING:
    from evaluation.evaluate import EvaluationResult
    from evaluation.recipe import EvaluationRecipe
    from ray_jobs.rollouts.recipe import RolloutsRecipe
    from ray_jobs.stages.recipe import StagesRecipe
    from training.model.base_model import AnyBase
    from training.run import Trained

MERGED: Final = "merged"
"""Folder of a training with its adapter merged into its base, for a later stage."""


@dataclass(frozen=True, slots=True)
class Staged:
    """What the stages made: the run, the trainings in order, and the evaluation, if any."""

    run: Path
    trained: tuple[Trained, ...]
    evaluation: EvaluationRecipe | None = None
    result: EvaluationResult | None = None


def run_stages(recipe: StagesRecipe, ray: bool, listener: Listener) -> Staged:
    """Draw, curate, train and evaluate as the recipe says, and report to the listener alone.

    Raises MedSiftError as the commands of the single steps do.
    """
    from ray_jobs.actions.train import train_quietly

    run = prepare_run(recipe, ray, listener)
    base = recipe.base
    trained: list[Trained] = []
    for place, stage in enumerate(recipe.stages):
        if stage.rollouts is not None:
            choose_questions(stage.rollouts.of(stage.name, run, base), ray)
        if stage.train is not None:
            training = stage.train.of(
                name=stage.name, run=str(run), base=base.model_dump(mode="json")
            )
            trained.append(train_quietly(training, ray, listener))
            if place + 1 < len(recipe.stages):
                base = base_of(trained[-1])
    if recipe.evaluation is None:
        return Staged(run, tuple(trained))
    from ray_jobs.actions.evaluate import evaluate_quietly

    evaluation = evaluation_of(recipe, run, trained)
    return Staged(run, tuple(trained), evaluation, evaluate_quietly(evaluation, ray, listener))


def prepare_run(recipe: StagesRecipe, ray: bool, listener: Listener) -> Path:
    """Draw phantoms and curate the run, where the recipe asks for it; return its directory."""
    from curation.phantoms import make_phantoms
    from curation.recipe import load_recipe
    from ray_jobs.actions.curate import curate_quietly
    from ray_jobs.cli_args import recipe_path

    if recipe.phantoms is not None:
        drawn = recipe.phantoms
        make_phantoms(drawn.folder, images=drawn.images, seed=drawn.seed)
    if recipe.curation is None:
        assert recipe.run is not None
        return recipe.run.absolute()
    curation = load_recipe(recipe_path(recipe.curation))
    run = (recipe.run or curation.run_dir).absolute()
    curate_quietly(curation, run, ray, listener)
    return run


def choose_questions(rollouts: RolloutsRecipe, ray: bool) -> None:
    """Draw rollouts, unless the run has these very ones. Raises InputError where none is kept."""
    from ray_jobs.actions.curate import executor
    from ray_jobs.rollouts.draw import draw_rollouts

    settings = json.dumps(rollouts.resolved(), sort_keys=True)
    sql = "SELECT settings FROM selection_settings WHERE selection = $1"
    known = read(rollouts.run / MANIFEST_NAME, sql, [rollouts.name])["settings"].to_pylist()
    if settings in known:
        return
    with executor(ray, None) as engine:
        done = draw_rollouts(rollouts, engine)
    verdicts = Counter(done.questions["verdict"].to_pylist())
    if not verdicts["kept"]:
        counts = ", ".join(f"{count} {verdict}" for verdict, count in sorted(verdicts.items()))
        raise InputError(
            f"rollouts {rollouts.name!r} keep no question ({counts}); train longer before, draw "
            "more often, or lower keep.min_usefulness",
            code="selection_untrainable",
            selection=rollouts.name,
        )


def base_of(trained: Trained) -> AnyBase:
    """Return the model that the next stage starts from, an adapter merged into its base.

    Raises ModelError as `merge` does.
    """
    from training.merge import merge
    from training.model.base_model import PretrainedBase
    from training.training_id import Training

    training: Training = trained.training
    folder = training.result
    if not training.recipe.complete:
        folder = training.folder / MERGED
        if not folder.is_dir():
            merge(training.result, folder)
    return PretrainedBase(model=str(folder))


def evaluation_of(recipe: StagesRecipe, run: Path, trained: list[Trained]) -> EvaluationRecipe:
    """Return the evaluation of majority, the base, and every training's result."""
    from ray_jobs.evaluation_models import generator_settings, takes_images

    settings = recipe.evaluation
    assert settings is not None
    first = trained[0].training.recipe
    sees = takes_images(recipe.base)
    models = [generator_settings("base", first, settings, sees=sees)]
    models += [
        generator_settings(
            one.training.recipe.name,
            one.training.recipe,
            settings,
            sees=sees,
            result=one.training.result,
        )
        for one in trained
    ]
    return settings.trial(
        name=recipe.name,
        seed=first.seed,
        run=run,
        cache=(run.parent / "cache").absolute(),
        models=[{"kind": "majority"}, *models],
    )
