"""Define `medsift curate`, which runs a recipe and writes a manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ray_jobs.commands.options import LogJson, Overrides, RayOrLocal, RecipeFile, RunDir
from ray_jobs.console import resumable


def curate(
    recipe: RecipeFile,
    overrides: Overrides = None,
    run_dir: RunDir = None,
    log_json: LogJson = False,
    ray: RayOrLocal = None,
    add: Annotated[
        bool,
        typer.Option(
            "--add", help="Say what new rows changed; only they are read, encoded and compared."
        ),
    ] = False,
    retry: Annotated[
        str | None,
        typer.Option(
            "--retry",
            metavar="failed[:REASON]",
            help="Try again what failed, or what failed for that reason.",
        ),
    ] = None,
) -> None:
    """Run a recipe: read, check, de-duplicate, select, and record the fate of every row.

    The same command again reuses every finished stage, and with new files in a source, or a new
    source, it encodes and compares only what is new. Exit codes: 0 done and balanced, 2 bad
    usage or recipe, 3 input unreadable, 4 ledger unbalanced or too many failures, 130 interrupted.
    """
    from curation.recipe import load_recipe
    from ray_jobs.actions.curate import curate_and_report, said_changes
    from ray_jobs.cli_args import recipe_path

    loaded = load_recipe(recipe_path(recipe), overrides or ())
    target = Path(run_dir) if run_dir is not None else loaded.run_dir
    with resumable(), said_changes(target, add or retry is not None, log_json):
        if retry is not None:
            _retry(target, retry)
        curate_and_report(
            loaded, target, ray=loaded.compute.ray if ray is None else ray, log_json=log_json
        )


def _retry(run_dir: Path, what: str) -> None:
    from curation.retry import asked_reason, retry_failed

    counts = retry_failed(run_dir, asked_reason(what))
    listed = ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items()))
    typer.echo(f"trying again: {listed}", err=True)
