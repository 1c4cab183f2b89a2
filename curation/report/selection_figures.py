"""Draw charts of correlations between scores and of the coverage of selections."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, repeat

from curation.report.selections import LENGTH, SelectionFacts
from medsift.manifest.any_version import Line
from medsift.pages.chart_style import (
    COLOURS,
    MINUS,
    PAPER,
    PLUS,
    REST,
    Figure,
    axis_title,
    layout,
    plain,
    scatter,
)


def heat_map(correlations: Sequence[Line]) -> Figure:
    """Draw the rank correlation of every score with answer length and every other score."""
    scorers = sorted({line["scorer"] for line in correlations})
    others = sorted(
        {line["other"] for line in correlations}, key=lambda name: (name != LENGTH, name)
    )
    rho = {}
    for line in correlations:
        for pair in ((line["scorer"], line["other"]), (line["other"], line["scorer"])):
            rho[pair] = line["rho"]
    values = [[rho.get((scorer, other)) for other in others] for scorer in scorers]
    trace = {
        "type": "heatmap",
        "x": [plain(name.replace("_", " ")) for name in others],
        "y": [plain(name.replace("_", " ")) for name in scorers],
        "z": values,
        "zmin": -1,
        "zmax": 1,
        "xgap": 2,
        "ygap": 2,
        "colorscale": [[0, MINUS], [0.5, PAPER], [1, PLUS]],
        "text": [["" if value is None else f"{value:.2f}" for value in row] for row in values],
        "texttemplate": "%{text}",
        "hovertemplate": "%{y} and %{x}: ρ = %{text}<extra></extra>",
        "hoverongaps": False,
        "colorbar": {"title": {"text": "ρ"}, "thickness": 12, "outlinewidth": 0},
    }
    x = {"type": "category", "side": "top", "showgrid": False, "ticks": ""}
    y = {"type": "category", "autorange": "reversed", "showgrid": False, "ticks": ""}
    return [trace], layout(130 + 34 * len(scorers), x, y)


def coverage_curves(selections: SelectionFacts) -> Figure:
    """Draw coverage against size for each selection, with a disc at its final size."""
    traces = []
    names = (name for name in selections.names if name in selections.curves)
    for name, colour in zip(names, chain(COLOURS, repeat(REST)), strict=False):
        label, curve = plain(name), selections.curves[name]
        sizes, shares = [line["size"] for line in curve], [line["coverage"] for line in curve]
        hover = f"%{{x:,}} samples cover %{{y:.1%}}<extra>{label}</extra>"
        style = {"legendgroup": label, "line": {"color": colour, "width": 2}}
        traces.append(scatter("lines", name, sizes, shares, hover, **style))
        if name in selections.chosen:
            size, share = (selections.chosen[name][key] for key in ("selected", "coverage"))
            hover = f"selected: %{{x:,}}, %{{y:.1%}}<extra>{label}</extra>"
            style = {"legendgroup": label, "marker": {"color": colour, "size": 11}}
            disc = scatter("markers", name, [size], [share], hover, showlegend=False, **style)
            traces.append(disc)
    x = {"title": axis_title("samples selected"), "tickformat": ",d", "rangemode": "tozero"}
    y = {"title": axis_title("coverage of the pool"), "tickformat": ".0%", "rangemode": "tozero"}
    return traces, layout(420, x, y, hovermode="closest")
