"""The report's charts, as JSON that plotly.js draws in the page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise

from curation.report.data import Facts, Histogram
from curation.report.selection_figures import coverage_curves, heat_map
from medsift.manifest.any_version import Line
from medsift.pages.chart_style import (
    ACCENT,
    COLOURS,
    FAILED,
    GONE,
    REST,
    Figure,
    as_json,
    axis_title,
    layout,
    plain,
)

OTHER = "other"
ALL = "all"
QUALITY_TITLES = {
    "contrast": "contrast (standard deviation, grey levels)",
    "entropy": "entropy (bits)",
    "sharpness": "sharpness (log₁₀ of 1 + Laplacian variance)",
    "blank_share": "blank share (part of all pixels)",
}


def draw(facts: Facts) -> dict[str, str]:
    """Figure JSON by name, safe inside a script element; a chart without data is left out."""
    figures: dict[str, Figure] = {}
    if facts.stages:
        figures["funnel"] = _funnel(facts.stages)
    if facts.points:
        figures["map"] = _map(facts.points)
    if facts.sweep:
        figures["sweep"] = _sweep(facts.sweep)
    for place, histogram in enumerate(facts.qualities):
        if histogram.edges:
            figures[f"quality-{place}"] = _bins(histogram, "images")
    for place, histogram in enumerate(facts.scores):
        if histogram.edges:
            figures[f"score-{place}"] = _bins(histogram, "samples")
    if facts.selections.correlations:
        figures["correlations"] = heat_map(facts.selections.correlations)
    if facts.selections.curves:
        figures["curves"] = coverage_curves(facts.selections)
    return {name: as_json(traces, layout) for name, (traces, layout) in figures.items()}


def _funnel(stages: Sequence[Line]) -> Figure:
    """Kept, dropped and failed rows of each stage, one bar a stage, first stage on top."""
    names = [plain(stage["stage"]) for stage in stages]
    parts = (("kept", ACCENT), ("dropped", GONE), ("failed", FAILED))
    traces = [
        {
            "type": "bar",
            "orientation": "h",
            "name": part,
            "y": names,
            "x": [stage[part] for stage in stages],
            "marker": {"color": colour},
            "hovertemplate": "%{y}: %{x:,} " + part + "<extra></extra>",
        }
        for part, colour in parts
    ]
    y = {"autorange": "reversed", "type": "category", "ticks": "", "showgrid": False}
    x = {"title": axis_title("rows"), "tickformat": ",d", "rangemode": "tozero"}
    height = 110 + 34 * len(stages)
    return traces, layout(height, x, y, barmode="stack", bargap=0.35)


def _palette(modalities: Sequence[str]) -> dict[str, str]:
    """A colour per modality, commonest first; those beyond the palette share one."""
    ranked = sorted(Counter(modalities).items(), key=lambda item: (-item[1], item[0]))
    return {
        name: COLOURS[place] if place < len(COLOURS) else REST
        for place, (name, _) in enumerate(ranked)
    }


def _map(points: Sequence[Line]) -> Figure:
    """Image vectors in the plane: a disc is kept, a ring is dropped, a colour is a modality."""
    palette = _palette([point["modality"] for point in points])
    names = {name: OTHER if palette[name] == REST else name for name in palette}
    traces = [
        trace
        for name in dict.fromkeys(names.values())
        for kept in (True, False)
        if (trace := _cloud(points, names, palette, name, kept)) is not None
    ]
    span = {"showticklabels": False, "ticks": "", "showgrid": False}
    x = {**span, "title": axis_title("first principal axis"), "fixedrange": False}
    y = {**span, "title": axis_title("second principal axis"), "fixedrange": False}
    return traces, layout(560, x, y, hovermode="closest", dragmode="pan")


def _cloud(
    points: Sequence[Line],
    names: Mapping[str, str],
    palette: Mapping[str, str],
    name: str,
    kept: bool,
) -> Line | None:
    """The kept or the dropped points of one legend entry, or None where there are none."""
    chosen = [
        point for point in points if names[point["modality"]] == name and point["kept"] == kept
    ]
    if not chosen:
        return None
    fate = "kept" if kept else "dropped"
    return {
        "type": "scatter",
        "mode": "markers",
        "name": f"{plain(name)}, {fate}",
        "x": [round(point["x"], 5) for point in chosen],
        "y": [round(point["y"], 5) for point in chosen],
        "text": [plain(f"{point['name']} · {point['modality']}") for point in chosen],
        "hovertemplate": "%{text}<br>" + fate + "<extra></extra>",
        "marker": {
            "color": palette.get(name, REST),
            "symbol": "circle" if kept else "circle-open",
            "size": 6 if kept else 8,
            "opacity": 0.9,
            "line": {"width": 0 if kept else 1.4},
        },
    }


def _sweep(lines: Sequence[Line]) -> Figure:
    """Images that would go at each threshold, a line per modality; `all` is the heavy one."""
    names = list(dict.fromkeys(str(line["modality"]) for line in lines))
    others = [name for name in names if name != ALL]
    traces = [_sweep_line(lines, ALL, ACCENT, heavy=True)] if ALL in names else []
    # The first colour is the accent, which belongs to `all`.
    for place, name in enumerate(others):
        colour = COLOURS[1 + place] if place + 1 < len(COLOURS) else REST
        traces.append(_sweep_line(lines, name, colour, heavy=False))
    if any(line["confirmed"] for line in lines) and ALL in names:
        confirmed = _sweep_line(lines, ALL, ACCENT, heavy=False, column="confirmed")
        confirmed.update(name="all, confirmed by pixels", line={"color": ACCENT, "dash": "dot"})
        traces.append(confirmed)
    x = {"title": axis_title("cosine similarity threshold"), "tickformat": ".2f"}
    y = {"title": axis_title("images with a nearer neighbour"), "tickformat": ",d"}
    return traces, layout(420, x, {**y, "rangemode": "tozero"}, hovermode="x unified")


def _sweep_line(
    lines: Sequence[Line], name: str, colour: str, *, heavy: bool, column: str = "images"
) -> Line:
    own = [line for line in lines if line["modality"] == name]
    return {
        "type": "scatter",
        "mode": "lines",
        "name": plain(name),
        "x": [line["threshold"] for line in own],
        "y": [line[column] for line in own],
        "line": {"color": colour, "width": 3 if heavy else 1.6},
        "hovertemplate": "%{y:,}",
    }


def _bins(histogram: Histogram, unit: str) -> Figure:
    """Counts per bin, one group on top of the other; the page itself lists groups of scores."""
    edges = histogram.edges
    middles = [(low + high) / 2 for low, high in pairwise(edges)]
    widths = [high - low for low, high in pairwise(edges)]
    fates = {"kept": ACCENT, "dropped": GONE}
    traces = [
        {
            "type": "bar",
            "name": plain(name),
            "x": middles,
            "y": counts,
            "width": widths,
            "marker": {"color": fates.get(name, COLOURS[place]), "line": {"width": 0}},
            "hovertemplate": "%{x:.3g}: %{y:,} " + f"{unit}, {plain(name)}<extra></extra>",
        }
        for place, (name, counts) in enumerate(histogram.counts.items())
    ]
    x = {"title": axis_title(QUALITY_TITLES.get(histogram.name, plain(histogram.name)))}
    y = {"title": axis_title(unit), "tickformat": ",d"}
    legend = set(histogram.counts) <= set(fates)
    return traces, layout(250, x, y, barmode="stack", bargap=0, showlegend=legend)
