"""Define `medsift power`, which computes what difference a benchmark can show."""

from __future__ import annotations

from math import ceil
from typing import Annotated

import typer

from ray_jobs.commands.options import TableOrJson, invalid


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

    from medsift.statistics import PlannedComparison

    if icc and clusters is None:
        raise invalid("--icc", f"{icc:g} needs --clusters: give the number of images")
    clusters = n if clusters is None else clusters
    benchmark = PlannedComparison(n=n, clusters=clusters, icc=icc, rho=rho, baseline=baseline)
    smallest = benchmark.smallest_difference
    # A gain that would exceed a score of 1 cannot be shown at all.
    gain = smallest if baseline + smallest <= 1 else None
    needed = None if margin is None else benchmark.items_for(margin)
    if style is TableOrJson.json:
        figures = {
            "n": n,
            "clusters": clusters,
            "icc": icc,
            "rho": rho,
            "baseline": baseline,
            "design_effect": benchmark.design_effect,
            "half_width": benchmark.half_width,
            "smallest_gain": gain,
            "smallest_margin": smallest,
        }
        if margin is not None:
            figures |= {"margin": margin, "n_for_margin": needed}
        typer.echo(json.dumps(figures))
        return
    rows = {
        "items": f"{n:,} on {clusters:,} images",
        "design effect": f"{benchmark.design_effect:.2f}",
        "95% half-width": f"{100 * benchmark.half_width:.1f} points",
        "smallest gain": "none" if gain is None else f"{100 * gain:.1f} points",
        "smallest margin": f"{100 * smallest:.1f} points, for two equal models",
    }
    if margin is not None and needed is not None:
        images = ceil(needed * clusters / n)
        rows[f"for {100 * margin:g} points"] = f"{needed:,} on {images:,} images"
    for name, words in rows.items():
        typer.echo(f"{name:<17}{words}")
