"""Write the page of a probe: accuracy against budget with bands, and every figure as a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from curation.probe.figure import accuracy_curve, arm_colours, facet_curves, facet_values
from curation.probe.probe import ProbeResult
from curation.probe.results import ALL
from curation.probe.settings import ProbeConfig
from medsift.manifest.any_version import Line
from medsift.pages.chart_style import ACCENT, SKY, as_json
from medsift.pages.html_page import render, write_page
from medsift.pages.number_format import percent, with_interval

TEMPLATE: Final = Path(__file__).parent / "templates" / "probe.html"
THEMED: Final = {ACCENT: "var(--accent)", SKY: "var(--sky)"}
"""Colours that the style sheet changes with the theme."""


def write_probe_page(result: ProbeResult, config: ProbeConfig, output: Path) -> Path:
    """Write a probe's page as one HTML file that needs no network, and return its path.

    Raises:
        StorageError: `output` cannot be written.
    """
    rows, arms = result.table.to_pylist(), list(result.verdicts)
    facets = [name for name in dict.fromkeys(row["facet"] for row in rows) if name != ALL]
    figures = {"curve": accuracy_curve(rows, arms)}
    for facet in facets:
        for place, figure in enumerate(facet_curves(rows, arms, facet)):
            figures[f"{facet}-{place}"] = figure
    content = {
        "result": result,
        "config": config,
        "budgets": sorted({row["budget"] for row in result.overall if row["arm"] in arms}),
        "rows": result.overall,
        "legend": [(arm, THEMED.get(colour, colour)) for arm, colour in arm_colours(arms).items()],
        "facets": {facet: _by_value(rows, facet, arms) for facet in facets},
        "figures": {name: as_json(*figure) for name, figure in figures.items()},
    }
    filters: Mapping[str, Callable[..., Any]] = {
        "percent": percent,
        "points": _points,
        "efficiency": _efficiency,
    }
    write_page(output, render(TEMPLATE, content, filters))
    return output


def _by_value(
    rows: Sequence[Line], facet: str, arms: Sequence[str]
) -> list[tuple[str, int, dict[str, list[Line]]]]:
    """Return each value of a tag, the samples asked about, and each arm's results by budget."""
    found = []
    for value in facet_values(rows, facet):
        own = [row for row in rows if (row["facet"], row["facet_value"]) == (facet, value)]
        own.sort(key=lambda row: row["budget"])
        by_arm = {arm: [row for row in own if row["arm"] == arm] for arm in arms}
        found.append((value, own[0]["n"], by_arm))
    return found


def _points(row: Line, against: str) -> str:
    """Return a difference with its interval, in accuracy."""
    names = (f"{against}_difference", f"{against}_low", f"{against}_high")
    value, low, high = (row[name] for name in names)
    return with_interval(value, low, high, "+")


def _efficiency(row: Line) -> str:
    if row["efficiency"] is None:
        return "–"
    bound = {"above": "≥ ", "below": "≤ "}.get(row["efficiency_beyond"] or "", "")
    ends = f"{row['efficiency_low']:.2f} to {row['efficiency_high']:.2f}"
    return f"{bound}{row['efficiency']:.2f} ({ends})"
