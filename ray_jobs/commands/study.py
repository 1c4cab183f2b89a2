"""Define `medsift study`, which compares small selections and baselines with full data."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from ray_jobs.commands.options import LogJson, Overrides, RecipeFile
from ray_jobs.console import ignore_broken_pipe, resumable, shown

if TYPE_CHECKING:
    from ray_jobs.study.study import StudyResult


def study(
    recipe: RecipeFile,
    overrides: Overrides = None,
    log_json: LogJson = False,
    ray: Annotated[
        bool | None,
        typer.Option(
            "--ray/--local",
            help="Run trials as tasks on Ray (that of RAY_ADDRESS, or a local one), or one after "
            "another in this process.",
            show_default="as the recipe says",
        ),
    ] = None,
) -> None:
    """Train and evaluate small sets, baselines and full data, and report which size is enough.

    The same command again reuses finished trials and resumes an interrupted one from its
    checkpoint. Exit codes: 0 done, 2 bad usage or recipe, 3 data or model unavailable, 4 a trial
    failed or a selection may contain a benchmark, 130 interrupted.
    """
    from medsift import recipe_yaml
    from medsift.progress import StudyFinished
    from ray_jobs.cli_args import recipe_path
    from ray_jobs.heartbeat import beating
    from ray_jobs.progress_views import announced
    from ray_jobs.study.recipe import StudyRecipe
    from ray_jobs.study.study import check_complete, run_study

    loaded = recipe_yaml.load(StudyRecipe, recipe_path(recipe), overrides or ())
    with (
        resumable(),
        announced(log_json) as view,
        beating(loaded.run, "study", view) as listener,
    ):
        result = run_study(loaded, loaded.compute.ray if ray is None else ray, listener)
        listener(
            StudyFinished(
                study_id=result.study_id,
                run_id=result.run_id,
                manifest=result.manifest,
                page=result.page,
                trials=len(result.trials),
                failed=len(result.failed),
            )
        )
    if not log_json:
        show_study(result)
    check_complete(result)


def show_study(result: StudyResult) -> None:
    """Print the table, its summary, and where everything is."""
    from evaluation.study_text import study_table, summaries
    from medsift.manifest import render

    with ignore_broken_pipe():
        render(study_table(result.results), "table", sys.stdout.buffer)
        sys.stdout.buffer.write(b"\n")
        sys.stdout.buffer.flush()
        for benchmark, lines in summaries(result.results).items():
            typer.echo(f"{benchmark}:")
            for words in lines:
                typer.echo(f"- {words}")
        typer.echo()
        for name, value in (
            ("study", result.study_id),
            ("page", shown(result.page)),
            ("manifest", shown(result.manifest)),
        ):
            typer.echo(f"{name:<10}{value}")
