"""Define `medsift stages`, which trains in stages, each from the last one's result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ray_jobs.commands.options import LogJson, Overrides, RecipeFile
from ray_jobs.console import resumable, shown

if TYPE_CHECKING:
    from ray_jobs.actions.stages import Staged


def stages(
    recipe: RecipeFile,
    overrides: Overrides = None,
    log_json: LogJson = False,
    ray: Annotated[
        bool, typer.Option("--ray/--local", help="Run on Ray, or in this process.")
    ] = False,
) -> None:
    """Curate, then train in stages: a projector, adapters, a policy, each from the last result.

    The same command again reuses what is finished and continues what is not. Exit codes are those
    of curate, rollouts, train and evaluate.
    """
    from ray_jobs.actions.curate import shared_ray
    from ray_jobs.actions.stages import run_stages
    from ray_jobs.cli_args import recipe_path
    from ray_jobs.commands.evaluate import show_result
    from ray_jobs.progress_views import announced
    from ray_jobs.stages.recipe import load_stages

    loaded = load_stages(recipe_path(recipe), overrides or ())
    with resumable(), shared_ray(ray), announced(log_json) as listener:
        staged = run_stages(loaded, ray, listener)
    if log_json:
        return
    show_staged(staged)
    if staged.evaluation is not None and staged.result is not None:
        show_result(staged.evaluation, staged.result)


def show_staged(staged: Staged) -> None:
    """Print the trainings in their order, with what each started from."""
    from ray_jobs.commands.train import outcome
    from ray_jobs.console import ignore_broken_pipe
    from training.results.lineage import read_lineage

    with ignore_broken_pipe():
        for one in staged.trained:
            lineage = read_lineage(one.training.result)
            parents = [parent["training_id"] for parent in lineage["parents"]]
            reused = " (finished before)" if one.reused else ""
            typer.echo(f"{'training':<10}{one.training.training_id}{reused}")
            typer.echo(f"{'from':<10}{parents[0] if parents else lineage['base']['name']}")
            typer.echo(f"{'outcome':<10}{outcome(lineage)}")
            typer.echo(f"{'result':<10}{shown(one.training.result)}")
        typer.echo(f"{'manifest':<10}{shown(staged.run)}")
