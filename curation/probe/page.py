"""Write the page of a probe: accuracy against budget with bands, and every figure as a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from curation.probe.probe import ProbeResult
from curation.probe.results import ALL
from curation.probe.settings import FULL, RANDOM, ProbeConfig
from medsift.manifest.any_version import Line
from medsift.pages.chart_style import COLOURS, GONE, Figure, as_json, axis_title, layout, plain
from medsift.pages.html_page import render, write_page
from medsift.pages.number_format import percent, with_interval

TEMPLATE: Final = Path(__file__).parent / "templates" / "probe.html"
BAND_OPACITY: Final = 0.18


def write_probe_page(result: ProbeResult, config: ProbeConfig, output: Path) -> Path:
    """Write a probe's page as one HTML file that needs no network, and return its path.

    Raises:
        StorageError: `output` cannot be written.
    """
    rows = result.table.to_pylist()
    content = {
        "result": result,
        "config": config,
        "rows": result.overall,
        "facets": _facets(rows),
        "figures": {"curve": as_json(*_curve(result.overall, list(result.verdicts)))},
    }
    filters: Mapping[str, Callable[..., Any]] = {
        "percent": percent,
        "points": _points,
        "efficiency": _efficiency,
    }
    write_page(output, render(TEMPLATE, content, filters))
    return output


def _curve(rows: list[Line], arms: list[str]) -> Figure:
    """Draw accuracy against training samples; each arm's band is its 95% interval."""
    traces: list[Line] = []
    full = next(row for row in rows if row["arm"] == FULL)
    for number, arm in enumerate([RANDOM, *arms]):
        own = sorted((row for row in rows if row["arm"] == arm), key=lambda row: row["samples"])
        colour = GONE if arm == RANDOM else COLOURS[(number - 1) % len(COLOURS)]
        sizes = [row["samples"] for row in own]
        if None not in [row["low"] for row in own]:
            traces.append(
                {
                    "type": "scatter",
                    "x": [*sizes, *reversed(sizes)],
                    "y": [row["high"] for row in own] + [row["low"] for row in reversed(own)],
                    "fill": "toself",
                    "fillcolor": colour,
                    "opacity": BAND_OPACITY,
                    "line": {"width": 0},
                    "hoverinfo": "skip",
                    "legendgroup": arm,
                    "showlegend": False,
                    # One arm's band at a time is readable; the others appear by the legend.
                    "visible": True if arm in (RANDOM, arms[0]) else "legendonly",
                }
            )
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": plain(arm),
                "x": sizes,
                "y": [row["accuracy"] for row in own],
                "line": {"color": colour, "dash": "dot" if arm == RANDOM else "solid"},
                "legendgroup": arm,
            }
        )
    traces.append(
        {
            "type": "scatter",
            "mode": "lines",
            "name": "all rows",
            "x": [min(row["samples"] for row in rows), full["samples"]],
            "y": [full["accuracy"]] * 2,
            "line": {"color": COLOURS[-1], "dash": "dash", "width": 1},
        }
    )
    x = {"type": "log", "title": axis_title("training samples (logarithmic)")}
    y = {"tickformat": ".0%", "title": axis_title("right answers")}
    return traces, layout(440, x, y)


def _facets(rows: list[Line]) -> list[tuple[str, list[Line]]]:
    """Return the rows of each facet by value, arm and budget."""
    names = [name for name in dict.fromkeys(row["facet"] for row in rows) if name != ALL]
    return [
        (
            name,
            sorted(
                (row for row in rows if row["facet"] == name and row["arm"] != FULL),
                key=lambda row: (row["facet_value"], row["budget"], row["arm"]),
            ),
        )
        for name in names
    ]


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
