"""Define `medsift tune`, which curates, fine-tunes and evaluates by one recipe."""

from __future__ import annotations

from typing import Annotated

import typer

from ray_jobs.commands.options import LogJson, Overrides, RecipeFile, RunDir
from ray_jobs.console import resumable


def tune(
    recipe: RecipeFile,
    overrides: Overrides = None,
    run_dir: RunDir = None,
    log_json: LogJson = False,
    ray: Annotated[
        bool,
        typer.Option(
            "--ray/--local",
            help="Run on Ray (that of RAY_ADDRESS, or a local one), or in this process.",
        ),
    ] = True,
) -> None:
    """Curate, fine-tune on the selection, and evaluate the model before and after.

    The same command again reuses what is finished. Exit codes are those of curate, train and
    evaluate: 0 done, 2 bad usage or recipe, 3 data or model unavailable, 4 a ledger or a
    contamination check fails, 130 interrupted.
    """
    from medsift import recipe_yaml
    from ray_jobs.actions.curate import shared_ray
    from ray_jobs.actions.tune import TuningRecipe, curate_train_and_compare
    from ray_jobs.cli_args import recipe_path
    from ray_jobs.commands.evaluate import show_result
    from ray_jobs.commands.train import show_trained

    loaded = recipe_yaml.load(TuningRecipe, recipe_path(recipe), overrides or ())
    with resumable(), shared_ray(ray):
        tuned = curate_train_and_compare(loaded, run_dir, ray=ray, log_json=log_json)
    if not log_json:
        show_trained(tuned.trained)
        show_result(tuned.evaluation, tuned.result)
