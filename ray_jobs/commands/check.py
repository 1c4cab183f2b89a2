"""Define `medsift check`, which plans a recipe of any kind and runs nothing."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from ray_jobs.commands.options import Overrides, RecipeFile


def check(
    recipe: RecipeFile,
    overrides: Overrides = None,
    gpu: Annotated[
        str,
        typer.Option(
            "--gpu", help="Device that hours are estimated for: a100, h100, h200, l40s, cpu2, …"
        ),
    ] = "h100",
    rows: Annotated[
        int | None,
        typer.Option(
            "--rows",
            min=1,
            help="Samples to assume where data are not there.",
            show_default="1,000 for a selection",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Validate a recipe and print its plan: rows, pictures, tokens, FLOPs, GPU hours and disk.

    Nothing runs, and nothing is fetched. The kind of recipe follows from its keys. Exit codes: 0
    nothing is missing, 2 the recipe is not valid, 3 something is missing, which the plan lists.
    """
    from ray_jobs.check.check import check_recipe
    from ray_jobs.console import ignore_broken_pipe

    plan = check_recipe(recipe, overrides or (), gpu=gpu, rows=rows)
    with ignore_broken_pipe():
        if as_json:
            typer.echo(json.dumps(plan.to_dict()))
        else:
            for line in plan.lines():
                typer.echo(line)
    raise typer.Exit(0 if plan.ready else 3)
