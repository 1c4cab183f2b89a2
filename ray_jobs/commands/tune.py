"""`medsift tune`: curate, fine-tune, and ask before and after, by one recipe."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from ray_jobs.commands.curate import RESUME
from ray_jobs.commands.options import LogJson, Overrides, RecipeFile, RunDir

if TYPE_CHECKING:
    from pathlib import Path

    from ray_jobs.actions.tune import Tuned, TuningRecipe


def tune(
    recipe: RecipeFile,
    overrides: Overrides = None,
    run_dir: RunDir = None,
    log_json: LogJson = False,
    ray: Annotated[
        bool,
        typer.Option("--ray/--local", help="Run on Ray (RAY_ADDRESS, or one of its own), or here."),
    ] = True,
) -> None:
    """Curate, select, fine-tune on the selection, and ask the model before and after.

    The same command again reuses what is finished. Exit codes are those of curate, train and
    evaluate: 0 done, 2 bad usage or recipe, 3 data or model not to be had, 4 a ledger or a gate
    says no, 130 interrupted.
    """
    from ray_jobs.actions.curate import held_ray
    from ray_jobs.actions.tune import load_tuning
    from ray_jobs.cli_args import recipe_path
    from ray_jobs.commands.evaluate import show_result
    from ray_jobs.commands.train import show_trained

    loaded = load_tuning(recipe_path(recipe), overrides or ())
    try:
        with held_ray(ray):
            tuned = _whole_way(loaded, run_dir, ray, log_json)
    except KeyboardInterrupt:
        sys.stderr.write(f"{RESUME}\n")
        raise typer.Exit(130) from None
    if not log_json:
        show_trained(tuned.trained)
        show_result(tuned.evaluation, tuned.result)


def _whole_way(recipe: TuningRecipe, run_dir: Path | None, ray: bool, log_json: bool) -> Tuned:
    from curation.recipe import load_recipe
    from ray_jobs.actions.curate import run
    from ray_jobs.actions.tune import training_of, tune_and_ask
    from ray_jobs.cli_args import recipe_path

    curation = load_recipe(recipe_path(recipe.curation))
    place = run_dir or curation.run_dir
    training = training_of(recipe, place)  # a wrong one is refused before anything runs
    run(curation, place, ray=ray, log_json=log_json)
    return tune_and_ask(recipe, training, curation.cache_dir, ray=ray, log_json=log_json)
