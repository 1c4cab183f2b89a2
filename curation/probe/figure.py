"""Draw what a probe shows: accuracy against training samples, over all samples and by tag."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from curation.probe.results import ALL
from curation.probe.settings import FULL, RANDOM
from medsift.manifest.any_version import Line
from medsift.pages.chart_style import (
    COLOURS,
    GONE,
    REST,
    Figure,
    axis_title,
    layout,
    plain,
    scatter,
)

BAND_OPACITY: Final = 0.18
SIZES_SHOWN: Final = (1, 2, 5)
"""Ticks of the logarithmic axis, in every power of ten."""


def accuracy_curve(rows: Sequence[Line], arms: Sequence[str]) -> Figure:
    """Draw the accuracy of each arm over all samples asked about; bands are 95% intervals.

    Args:
        rows: A probe's results.
        arms: The arms in their order, without `random`, which every probe has.
    """
    own = [row for row in rows if row["facet"] == ALL]
    shown = [*_bands(own, arms[:1]), *_lines(own, arms), _everything(own)]
    return shown, _frame(own, 460)


def facet_curves(rows: Sequence[Line], arms: Sequence[str], facet: str) -> Iterator[Figure]:
    """Yield a small figure for each value of a tag, in the order of `facet_values`."""
    for value in facet_values(rows, facet):
        own = [row for row in rows if (row["facet"], row["facet_value"]) == (facet, value)]
        traces = [*_bands(own, ()), *_lines(own, arms), _everything(own)]
        yield traces, _frame(own, 230) | {"showlegend": False}


def facet_values(rows: Sequence[Line], facet: str) -> list[str]:
    """Return the values of a tag that have results, those with most samples first."""
    counts = {row["facet_value"]: row["n"] for row in rows if row["facet"] == facet}
    return sorted(counts, key=lambda value: (-counts[value], value))


def arm_colours(arms: Sequence[str]) -> dict[str, str]:
    """Return the colour of each line; the palette begins again where it ends."""
    colours = {arm: COLOURS[number % len(COLOURS)] for number, arm in enumerate(arms)}
    return {RANDOM: GONE, **colours}


def _of(rows: Sequence[Line], arm: str) -> list[Line]:
    return sorted((row for row in rows if row["arm"] == arm), key=lambda row: row["samples"])


def _bands(rows: Sequence[Line], arms: Sequence[str]) -> Iterator[Line]:
    """Yield the bands of `random` and of some arms: more than two of them would hide each other."""
    colours = arm_colours(arms)
    for arm in (RANDOM, *arms):
        own = _of(rows, arm)
        if not own or any(row["low"] is None for row in own):
            continue
        sizes = [row["samples"] for row in own]
        yield {
            "type": "scatter",
            "x": [*sizes, *reversed(sizes)],
            "y": [row["high"] for row in own] + [row["low"] for row in reversed(own)],
            "fill": "toself",
            "fillcolor": colours[arm],
            "opacity": BAND_OPACITY,
            "line": {"width": 0},
            "mode": "lines",
            "hoverinfo": "skip",
            "legendgroup": plain(arm),
            "showlegend": False,
        }


def _lines(rows: Sequence[Line], arms: Sequence[str]) -> Iterator[Line]:
    """Yield the line of `random` and of each arm; the second round of colours is dashed."""
    for number, (arm, colour) in enumerate(arm_colours(arms).items()):
        own = _of(rows, arm)
        dash = "dot" if arm == RANDOM else "solid" if number <= len(COLOURS) else "dash"
        ends = [
            "" if row["low"] is None else f" [{row['low']:.1%}, {row['high']:.1%}]" for row in own
        ]
        yield scatter(
            "lines+markers",
            arm,
            [row["samples"] for row in own],
            [row["accuracy"] for row in own],
            f"%{{x:,.0f}} samples: %{{y:.1%}}%{{text}}<extra>{plain(arm)}</extra>",
            text=ends,
            line={"color": colour, "dash": dash, "width": 2},
            marker={"color": colour, "size": 5},
            legendgroup=plain(arm),
        )


def _everything(rows: Sequence[Line]) -> Line:
    """Return the level of a probe trained on all rows."""
    [full] = _of(rows, FULL)
    return scatter(
        "lines",
        "all rows",
        [min(row["samples"] for row in rows), full["samples"]],
        [full["accuracy"]] * 2,
        f"all {full['samples']:,.0f} rows: %{{y:.1%}}<extra></extra>",
        line={"color": REST, "dash": "dash", "width": 1},
    )


def _frame(rows: Sequence[Line], height: int) -> Line:
    largest = max(row["samples"] for row in rows)
    ticks = [step * 10**power for power in range(9) for step in SIZES_SHOWN]
    x = {
        "type": "log",
        "title": axis_title("training samples (logarithmic)"),
        "tickvals": [tick for tick in ticks if tick <= largest],
        "tickformat": ",d",
    }
    y = {"tickformat": ".0%", "title": axis_title("right answers")}
    return layout(height, x, y, hovermode="closest")
