"""Define `medsift construct`, which asks a teacher for the reasoning behind answers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from ray_jobs.commands.options import LogJson, Overrides, RecipeFile, TableOrJson
from ray_jobs.console import ignore_broken_pipe, resumable

if TYPE_CHECKING:
    from curation.construct.projection import Projection


def construct(
    recipe: RecipeFile,
    overrides: Overrides = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print calls and cost, and ask nothing.")
    ] = False,
    style: Annotated[
        TableOrJson, typer.Option("--format", help="Format of the answer.")
    ] = TableOrJson.table,
    log_json: LogJson = False,
) -> None:
    """Ask a teacher for reasoning, verify each reply, and write the right ones as new samples.

    Calls and cost are projected before the first request. Replies are stored as they come: the same
    command again asks only for those that are missing.
    """
    from curation.construct.settings import ConstructRecipe
    from medsift import recipe_yaml
    from ray_jobs.actions.construct import construct_quietly
    from ray_jobs.cli_args import recipe_path
    from ray_jobs.progress_views import announced

    loaded = recipe_yaml.load(ConstructRecipe, recipe_path(recipe), overrides or ())

    def announce(projection: Projection) -> None:
        if not (log_json or dry_run):
            typer.echo(projection, err=True)

    with resumable(), announced(log_json) as listener:
        result = construct_quietly(loaded, listener, dry_run=dry_run, announce=announce)
    if log_json:
        return
    with ignore_broken_pipe():
        if style is TableOrJson.json:
            typer.echo(json.dumps(result.to_dict(), indent=2, ensure_ascii=False))
        else:
            typer.echo(result)
