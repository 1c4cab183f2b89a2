"""Define `medsift rollouts`, which draws replies and keeps the questions worth training on."""

from __future__ import annotations

from typing import Annotated

import typer

from ray_jobs.commands.options import Overrides


def rollouts(
    recipe: Annotated[
        str, typer.Argument(metavar="RECIPE", help="A YAML file, or a shipped one (rollouts_…).")
    ],
    overrides: Overrides = None,
    ray: Annotated[
        bool, typer.Option("--ray/--local", help="Draw on Ray, or in this process.")
    ] = False,
) -> None:
    """Draw replies to a selection's questions; keep questions answered now right, now wrong.

    The kept questions are a selection, for `medsift train` with `objective: grpo`. The same command
    again continues where it was.
    """
    from collections import Counter

    from ray_jobs.actions.curate import executor
    from ray_jobs.cli_args import recipe_path
    from ray_jobs.console import ignore_broken_pipe, resumable, shown
    from ray_jobs.rollouts.draw import draw_rollouts
    from ray_jobs.rollouts.recipe import load_rollouts

    loaded = load_rollouts(recipe_path(recipe), overrides or ())
    with resumable(), executor(ray, None) as engine:
        done = draw_rollouts(loaded, engine)
    verdicts = Counter(done.questions["verdict"].to_pylist())
    with ignore_broken_pipe():
        for verdict, count in sorted(verdicts.items()):
            typer.echo(f"{verdict:<12}{count:,}")
        typer.echo(f"{'manifest':<12}{shown(done.manifest)}")
        if verdicts["kept"]:
            typer.echo(f"{'selection':<12}{loaded.name}")
