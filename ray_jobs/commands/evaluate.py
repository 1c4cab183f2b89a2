"""Define `medsift evaluate`, which asks models about benchmarks and scores their replies."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ray_jobs.commands.options import LogJson, Overrides, RayOrLocal
from ray_jobs.console import ignore_broken_pipe, resumable, shown

if TYPE_CHECKING:
    import pyarrow as pa

    from evaluation.evaluate import EvaluationResult
    from evaluation.recipe import EvaluationRecipe


def evaluate(
    recipe: Annotated[
        str | None,
        typer.Argument(
            metavar="[RECIPE]",
            help="A YAML file, or a shipped one (evaluate_vqa_rad, …); or use the options.",
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            help="majority, prior, embedded, embedded_vlm, a folder or hub name of a transformers "
            "model, or URL#model of an endpoint; repeatable.",
            show_default=False,
        ),
    ] = None,
    benchmark: Annotated[
        list[str] | None,
        typer.Option(
            "--benchmark",
            help="KIND or KIND=PATH, such as vqa_rad=data/vqa-rad; repeatable.",
            show_default=False,
        ),
    ] = None,
    adapter: Annotated[
        Path | None,
        typer.Option(
            "--adapter", help="Folder of an adapter for the only --model.", show_default=False
        ),
    ] = None,
    variant: Annotated[
        list[str] | None,
        typer.Option(
            "--variant",
            help="A variant or family to ask as well, or all; repeatable.",
            show_default=False,
        ),
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(
            "--protocol",
            help="Scoring rules: strict, medevalkit or llava-med.",
            show_default="strict",
        ),
    ] = None,
    run_dir: Annotated[
        Path | None,
        typer.Option(
            "--run-dir",
            metavar="DIR",
            help="Run directory to add the results to.",
            show_default="medsift-runs/NAME",
        ),
    ] = None,
    overrides: Overrides = None,
    log_json: LogJson = False,
    ray: RayOrLocal = None,
) -> None:
    """Ask models about benchmarks, score the replies, print one table and write a page.

    Replies are stored: the same command again asks only what has no reply yet. Exit codes: 0 done,
    2 bad usage or recipe, 3 data or model unavailable, 4 too many requests without a reply,
    130 interrupted.
    """
    from ray_jobs.actions.evaluate import evaluate_and_report, evaluation_recipe

    options: dict[str, Any] = {
        "models": model,
        "benchmarks": benchmark,
        "adapter": adapter,
        "variants": variant,
        "protocol": protocol,
        "run": run_dir,
    }
    loaded = evaluation_recipe(recipe, options, overrides or ())
    with resumable():
        result = evaluate_and_report(loaded, ray=ray, log_json=log_json)
    if not log_json:
        show_result(loaded, result)


def show_result(recipe: EvaluationRecipe, result: EvaluationResult) -> None:
    """Print the tables, and where everything is."""
    from ray_jobs.actions.evaluate import PAGE

    with ignore_broken_pipe():
        print_tables(result.evaluations, result.metrics)
        for name, value in (
            ("run dir", shown(result.manifest.parent)),
            ("page", shown(result.manifest.with_name(PAGE))),
            ("evaluations", ", ".join(model.evaluation_id for model in result.models)),
        ):
            typer.echo(f"{name:<13}{value}")


def print_tables(evaluations: pa.Table, metrics: pa.Table) -> None:
    """Print the headline table, and where variants were asked what they change."""
    from evaluation.print_tables import headline, reliance, variants
    from medsift.manifest import render

    tables = [headline(evaluations, metrics)]
    if any(len(names) > 1 for names in evaluations["variants"].to_pylist()):
        tables += [variants(evaluations, metrics), reliance(evaluations, metrics)]
    for table in tables:
        render(table, "table", sys.stdout.buffer)
        sys.stdout.buffer.write(b"\n")
    sys.stdout.buffer.flush()
