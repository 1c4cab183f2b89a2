"""A study's charts: score against budget, and the curves of its trainings."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from typing import Final

from evaluation.report.reliability import error_bars
from evaluation.report.study.data import Group, StudyBenchmark, StudyPageData
from evaluation.study_scores import FULL, UNTRAINED
from medsift.manifest.any_version import Line
from medsift.pages.chart_style import COLOURS, GONE, REST, Figure, axis_title, layout, plain

APART: Final = 0.012
"""Distance between arms at one budget, as a share of the axis."""
FAR: Final = 12.0
"""Budgets that differ by such a factor are shown on a logarithmic axis."""
BAND: Final = "rgba(154, 164, 174, 0.25)"
DASHES: Final = ("solid", "dash", "dot", "dashdot")


def score_against_budget(benchmark: StudyBenchmark, groups: Sequence[Group]) -> Figure | None:
    """Draw accuracy with intervals against samples, a line an arm; full data is a band."""
    arms = _arms(groups)
    sizes = [group.samples for group in groups if group.arm in arms]
    if not sizes:
        return None
    axis = _Axis(min(sizes), max(sizes), len(arms))
    traces = []
    for name in (FULL, UNTRAINED):
        traces += _bound(benchmark, groups, name, axis)
    for place, (arm, colour) in enumerate(arms.items()):
        own = [group for group in groups if group.arm == arm]
        traces.append(_arm(benchmark, own, colour, axis, place))
        traces.append(_seeds(benchmark, arm, colour, axis, place))
    x = {
        "title": axis_title("samples trained on"),
        "type": "log" if axis.far else "linear",
        "tickvals": sorted(set(sizes)),
        "ticktext": [f"{size:,}" for size in sorted(set(sizes))],
        "showgrid": False,
    }
    y = {"title": axis_title("accuracy"), "tickformat": ".0%"}
    return traces, layout(460, x, y, hovermode="closest")


def training_curves(data: StudyPageData) -> Figure | None:
    """Draw the mean loss of an arm's seeds against steps; colour is the arm, dash the budget."""
    arms = _arms(data.groups) | {FULL: REST}
    drawn = [line for line in data.curves if line["arm"] in arms]
    if not drawn:
        return None
    budgets = list(dict.fromkeys(line["budget"] for line in drawn if line["arm"] != FULL))
    dashes = dict(zip(budgets, cycle(DASHES), strict=False))
    keys = dict.fromkeys((line["arm"], line["budget"]) for line in drawn)
    traces = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": plain("full data" if arm == FULL else f"{arm} at {budget}"),
            "x": [line["step"] for line in drawn if (line["arm"], line["budget"]) == (arm, budget)],
            "y": [line["loss"] for line in drawn if (line["arm"], line["budget"]) == (arm, budget)],
            "line": {"color": arms[arm], "width": 1.6, "dash": dashes.get(budget, "solid")},
            "hovertemplate": "step %{x:,.0f}: %{y:.3f}",
        }
        for arm, budget in keys
    ]
    x = {"title": axis_title("optimiser steps"), "tickformat": ",d", "rangemode": "tozero"}
    y = {"title": axis_title("loss, nats a supervised token"), "rangemode": "tozero"}
    return traces, layout(420, x, y, hovermode="closest")


class _Axis:
    """Positions of the arms at a budget next to each other, and the width of the bands."""

    def __init__(self, least: int, most: int, arms: int) -> None:
        self.far = most > FAR * max(least, 1)
        self.least, self.most, self.arms = max(least, 1), most, arms

    def at(self, samples: int, place: int) -> float:
        """Return the position of an arm's point."""
        shift = APART * (place - (self.arms - 1) / 2)
        if self.far:
            return float(samples * (self.most / self.least) ** shift)
        return samples + shift * (self.most - self.least or self.most)

    @property
    def ends(self) -> tuple[float, float]:
        """Both ends, a little beyond the outermost points."""
        if self.far:
            beyond = (self.most / self.least) ** 0.06
            return self.least / beyond, self.most * beyond
        beyond = 0.06 * (self.most - self.least or self.most)
        return self.least - beyond, self.most + beyond


def _arms(groups: Sequence[Group]) -> dict[str, str]:
    """Return the arms with budgets and their colours, those that are studied first."""
    own = [group for group in groups if group.arm not in (FULL, UNTRAINED)]
    names = dict.fromkeys(
        [group.arm for group in own if group.studied] + [group.arm for group in own]
    )
    colours = [*COLOURS, *[REST] * len(names)]
    return dict(zip(names, colours, strict=False))


def _bound(benchmark: StudyBenchmark, groups: Sequence[Group], arm: str, axis: _Axis) -> list[Line]:
    """Draw full data or the untrained model: a line across, and a band for the interval."""
    rows = [row for group in groups if group.arm == arm and (row := benchmark.line(group))]
    if not rows or rows[0]["value"] is None:
        return []
    line, (left, right), full = rows[0], axis.ends, arm == FULL
    name = f"full data, {line['samples']:,} samples" if full else "untrained"
    across = {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "legendgroup": arm,
        "x": [left, right],
        "y": [line["value"]] * 2,
        "line": {"color": REST, "width": 1.6, "dash": "dash" if full else "dot"},
        "hovertemplate": f"%{{y:.1%}}<extra>{name}</extra>",
    }
    if not full or line["low"] is None:
        return [across]
    band = {
        "type": "scatter",
        "mode": "lines",
        "legendgroup": arm,
        "showlegend": False,
        "x": [left, right, right, left],
        "y": [line["low"], line["low"], line["high"], line["high"]],
        "fill": "toself",
        "fillcolor": BAND,
        "line": {"width": 0, "color": GONE},
        "hoverinfo": "skip",
    }
    return [band, across]


def _arm(
    benchmark: StudyBenchmark, own: Sequence[Group], colour: str, axis: _Axis, place: int
) -> Line:
    lines = [line for group in own if (line := benchmark.line(group)) and line["value"] is not None]
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": plain(own[0].arm),
        "legendgroup": plain(own[0].arm),
        "x": [axis.at(line["samples"], place) for line in lines],
        "y": [line["value"] for line in lines],
        "error_y": error_bars(lines, "value", thickness=1.4, width=4),
        "customdata": [[line["budget"], line["samples"], line["seeds"]] for line in lines],
        "line": {"color": colour, "width": 2 if own[0].studied else 1.3},
        "marker": {"color": colour, "size": 9},
        "hovertemplate": "%{y:.1%} at %{customdata[0]} (%{customdata[1]:,} samples), "
        f"%{{customdata[2]}} seeds<extra>{plain(own[0].arm)}</extra>",
    }


def _seeds(benchmark: StudyBenchmark, arm: str, colour: str, axis: _Axis, place: int) -> Line:
    """Draw every trial as a small circle."""
    own = [line for line in benchmark.scores if line["arm"] == arm]
    return {
        "type": "scatter",
        "mode": "markers",
        "legendgroup": plain(arm),
        "showlegend": False,
        "x": [axis.at(line["samples"], place) for line in own],
        "y": [line["value"] for line in own],
        "customdata": [line["seed"] for line in own],
        "marker": {"color": colour, "size": 5, "opacity": 0.55, "symbol": "circle-open"},
        "hovertemplate": f"%{{y:.1%}}, seed %{{customdata}}<extra>{plain(arm)}</extra>",
    }
