"""Draw the reliability diagram: the confidence of models against the share that was right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from evaluation.report.data import BenchmarkResults, Evaluation
from medsift.manifest.any_version import Line
from medsift.pages.chart_style import COLOURS, GONE, Figure, axis_title, layout, plain

DRAWN: Final = len(COLOURS)
"""Models in one diagram: as many as there are distinct colours."""
WHISKERED: Final = 3
"""Up to so many models, intervals are drawn; more of them would hide the curves."""


@dataclass(frozen=True, slots=True)
class Reliability:
    """Models of a benchmark that gave probabilities: at most `DRAWN` of them are in the diagram."""

    benchmark: str
    evaluations: list[Evaluation]
    figure: Figure

    @property
    def whiskers(self) -> bool:
        """Whether intervals are drawn."""
        return len(self.evaluations) <= WHISKERED

    @property
    def hidden(self) -> int:
        """Models that are in the table alone."""
        return max(len(self.evaluations) - DRAWN, 0)


def reliability(benchmark: BenchmarkResults) -> Reliability | None:
    """Draw the diagram of a benchmark, None where no model gave probabilities."""
    stated = [one for one in benchmark.evaluations if filled(one)]
    if not stated:
        return None
    diagonal = {
        "type": "scatter",
        "mode": "lines",
        "name": "as promised",
        "x": [0, 1],
        "y": [0, 1],
        "line": {"color": GONE, "dash": "dot", "width": 1.5},
        "hoverinfo": "skip",
    }
    whiskers = len(stated) <= WHISKERED
    curves = [_curve(one, colour, whiskers) for one, colour in zip(stated, COLOURS, strict=False)]
    axis = {"range": [-0.02, 1.02], "tickformat": ".0%", "dtick": 0.2}
    x = {**axis, "title": axis_title("mean confidence of the bin")}
    y = {**axis, "title": axis_title("share that was right")}
    figure = [diagonal, *curves], layout(440, x, y, hovermode="closest")
    return Reliability(benchmark.name, stated, figure)


def filled(evaluation: Evaluation) -> list[Line]:
    """Return the bins that have replies."""
    return [one for one in evaluation.bins if one["n"] and one["confidence"] is not None]


def _curve(one: Evaluation, colour: str, whiskers: bool) -> Line:
    bins = filled(one)
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": plain(one.name),
        "x": [line["confidence"] for line in bins],
        "y": [line["accuracy"] for line in bins],
        "error_y": error_bars(bins, "accuracy", visible=whiskers, thickness=1.2, width=3),
        "customdata": [line["n"] for line in bins],
        "line": {"color": colour, "width": 1.6},
        "marker": {"color": colour, "size": 7},
        "hovertemplate": "promised %{x:.1%}, right %{y:.1%} of %{customdata:,} replies"
        f"<extra>{plain(one.name)}</extra>",
    }


def error_bars(lines: Sequence[Line], centre: str, **style: Any) -> Line:
    """Return how far intervals reach from their centres; 0 where it is not known."""
    high, low = (
        [0.0 if line[end] is None else abs(line[end] - line[centre]) for line in lines]
        for end in ("high", "low")
    )
    return {"type": "data", "symmetric": False, "array": high, "arrayminus": low, **style}
