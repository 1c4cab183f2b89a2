"""Define `medsift curate`, which runs a recipe and writes a manifest."""

from __future__ import annotations

from pathlib import Path

from ray_jobs.commands.options import LogJson, Overrides, RayOrLocal, RecipeFile, RunDir
from ray_jobs.console import resumable


def curate(
    recipe: RecipeFile,
    overrides: Overrides = None,
    run_dir: RunDir = None,
    log_json: LogJson = False,
    ray: RayOrLocal = None,
) -> None:
    """Run a recipe: read, check, de-duplicate, select, and record the fate of every row.

    The same command again reuses every finished stage. Exit codes: 0 done and balanced, 2 bad
    usage or recipe, 3 input unreadable, 4 ledger unbalanced or too many failures, 130 interrupted.
    """
    from curation.recipe import load_recipe
    from ray_jobs.actions.curate import curate_and_report
    from ray_jobs.cli_args import recipe_path

    loaded = load_recipe(recipe_path(recipe), overrides or ())
    target = Path(run_dir) if run_dir is not None else loaded.run_dir
    with resumable():
        curate_and_report(
            loaded, target, ray=loaded.compute.ray if ray is None else ray, log_json=log_json
        )
