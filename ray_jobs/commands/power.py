"""Define `medsift power`, which computes what difference a benchmark can show."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ray_jobs.commands.options import TableOrJson

if TYPE_CHECKING:
    from evaluation.statistics import PlannedComparison


def power(
    n: Annotated[int, typer.Option("--n", help="Number of items of the benchmark.")],
    clusters: Annotated[
        int | None,
        typer.Option(
            "--clusters",
            help="Number of images (or patients) of the items.",
            show_default="as many as items",
        ),
    ] = None,
    icc: Annotated[
        float,
        typer.Option("--icc", help="Intraclass correlation: of two items of one image, 0 to 1."),
    ] = 0.0,
    rho: Annotated[
        float, typer.Option("--rho", help="Correlation of two models' scores on an item.")
    ] = 0.5,
    baseline: Annotated[
        float, typer.Option("--baseline", help="Share of items that a model answers correctly.")
    ] = 0.5,
    margin: Annotated[
        float | None,
        typer.Option(
            "--margin",
            help="Also compute how many items show this difference: 0.02 is 2 points.",
            show_default=False,
        ),
    ] = None,
    style: Annotated[
        TableOrJson, typer.Option("--format", help="Format of the answer.")
    ] = TableOrJson.table,
) -> None:
    """Compute what a benchmark can show: the error of one model, the smallest gain between two.

    A gain counts as shown when, in 80 of 100 such comparisons, the 95% interval of the paired
    difference excludes 0; "no worse" when it excludes a loss of the margin.
    """
    import json

    from evaluation.statistics import PlannedComparison
    from medsift.errors import UsageError

    if icc and clusters is None:
        raise UsageError(
            f"--icc {icc:g} needs --clusters: give the number of images",
            code="option_invalid",
            option="--icc",
        )
    plan = PlannedComparison(
        n=n, clusters=n if clusters is None else clusters, icc=icc, rho=rho, baseline=baseline
    )
    figures = _figures(plan, margin)
    if style is TableOrJson.json:
        typer.echo(json.dumps(figures))
        return
    for line in _lines(plan, figures):
        typer.echo(line)


def _figures(plan: PlannedComparison, margin: float | None) -> dict[str, Any]:
    """Return input and results; the smallest gain is None where it would exceed a score of 1."""
    gain = plan.smallest_difference
    figures: dict[str, Any] = {
        "n": plan.n,
        "clusters": plan.clusters,
        "icc": plan.icc,
        "rho": plan.rho,
        "baseline": plan.baseline,
        "design_effect": plan.design_effect,
        "half_width": plan.half_width,
        "smallest_gain": gain if plan.baseline + gain <= 1 else None,
        "smallest_margin": gain,
    }
    if margin is not None:
        figures |= {"margin": margin, "n_for_margin": plan.items_for(margin)}
    return figures


def _lines(plan: PlannedComparison, figures: dict[str, Any]) -> list[str]:
    """Return the figures as lines for people, in percentage points."""
    gain = figures["smallest_gain"]
    rows = [
        ("items", f"{plan.n:,} on {plan.clusters:,} images"),
        ("design effect", f"{plan.design_effect:.2f}"),
        ("95% half-width", f"{100 * plan.half_width:.1f} points"),
        ("smallest gain", "none" if gain is None else f"{100 * gain:.1f} points"),
        (
            "smallest margin",
            f"{100 * plan.smallest_difference:.1f} points, for two equal models",
        ),
    ]
    if "margin" in figures:
        images = ceil(figures["n_for_margin"] * plan.clusters / plan.n)
        needed = f"{figures['n_for_margin']:,} on {images:,} images"
        rows.append((f"for {100 * figures['margin']:g} points", needed))
    return [f"{name:<17}{words}" for name, words in rows]
