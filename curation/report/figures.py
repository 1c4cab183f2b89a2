"""Draw the report's charts, as JSON that plotly.js reads in the page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import chain, pairwise, repeat

from curation.report.data import Histogram, ReportFacts
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
    scatter,
)

OTHER = "other"
ALL = "all"
QUALITY_TITLES = {
    "contrast": "contrast (standard deviation, grey levels)",
    "entropy": "entropy (bits)",
    "sharpness": "sharpness (log₁₀ of 1 + Laplacian variance)",
    "blank_share": "blank share (part of all pixels)",
}


def draw(facts: ReportFacts) -> dict[str, str]:
    """Return the JSON of each chart that has data, safe inside a script element."""
    figures: dict[str, Figure] = {}
    if facts.stages:
        figures["funnel"] = _funnel(facts.stages)
    if facts.points:
        figures["map"] = _map(facts.points)
    if facts.sweep:
        figures["sweep"] = _sweep(facts.sweep)
    for kind, histograms, unit in (
        ("quality", facts.qualities, "images"),
        ("score", facts.scores, "samples"),
    ):
        for number, histogram in enumerate(histograms):
            if histogram.edges:
                figures[f"{kind}-{number}"] = _bins(histogram, unit)
    if facts.selections.correlations:
        figures["correlations"] = heat_map(facts.selections.correlations)
    if facts.selections.curves:
        figures["curves"] = coverage_curves(facts.selections)
    return {name: as_json(traces, layout) for name, (traces, layout) in figures.items()}


def _funnel(stages: Sequence[Line]) -> Figure:
    """Draw kept, dropped and failed rows, a bar for each stage, the first stage on top."""
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


def _map(points: Sequence[Line]) -> Figure:
    """Draw image vectors: a disc is kept, a ring is dropped, a colour is a modality."""
    counts = Counter(point["modality"] for point in points)
    ranked = sorted(counts, key=lambda name: (-counts[name], name))
    # The rarest modalities share the colour that is left.
    palette = dict(zip(ranked, chain(COLOURS, repeat(REST)), strict=False))
    names = {name: OTHER if palette[name] == REST else name for name in palette}
    clouds: dict[tuple[str, bool], list[Line]] = {
        (name, kept): [] for name in names.values() for kept in (True, False)
    }
    for point in points:
        clouds[names[point["modality"]], point["kept"]].append(point)
    traces = [
        _cloud(chosen, name, palette.get(name, REST), kept)
        for (name, kept), chosen in clouds.items()
        if chosen
    ]
    span = {"showticklabels": False, "ticks": "", "showgrid": False}
    x = {**span, "title": axis_title("first principal axis"), "fixedrange": False}
    y = {**span, "title": axis_title("second principal axis"), "fixedrange": False}
    return traces, layout(560, x, y, hovermode="closest", dragmode="pan")


def _cloud(chosen: Sequence[Line], name: str, colour: str, kept: bool) -> Line:
    """Draw the kept or the dropped points of one legend entry."""
    fate = "kept" if kept else "dropped"
    x, y = ([round(point[axis], 5) for point in chosen] for axis in ("x", "y"))
    hover = f"%{{text}}<br>{fate}<extra></extra>"
    text = [plain(f"{point['name']} · {point['modality']}") for point in chosen]
    symbol, size, width = ("circle", 6, 0.0) if kept else ("circle-open", 8, 1.4)
    marker = {"color": colour, "opacity": 0.9, "symbol": symbol, "size": size}
    marker["line"] = {"width": width}
    return scatter("markers", f"{name}, {fate}", x, y, hover, text=text, marker=marker)


def _sweep(lines: Sequence[Line]) -> Figure:
    """Draw how many images a threshold would drop, by modality; `all` is the thick line."""
    names = list(dict.fromkeys(str(line["modality"]) for line in lines))
    traces = [_sweep_line(lines, ALL, ACCENT, heavy=True)] if ALL in names else []
    # The first colour is the accent, which belongs to `all`.
    colours = chain(COLOURS[1:], repeat(REST))
    for name, colour in zip((name for name in names if name != ALL), colours, strict=False):
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
    x, y = ([line[key] for line in own] for key in ("threshold", column))
    style = {"color": colour, "width": 3 if heavy else 1.6}
    return scatter("lines", name, x, y, "%{y:,}", line=style)


def _bins(histogram: Histogram, unit: str) -> Figure:
    """Draw a histogram, groups on top of each other; the page has the legend of score groups."""
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
            "marker": {"color": fates.get(name, colour), "line": {"width": 0}},
            "hovertemplate": "%{x:.3g}: %{y:,} " + f"{unit}, {plain(name)}<extra></extra>",
        }
        for (name, counts), colour in zip(histogram.counts.items(), COLOURS, strict=False)
    ]
    x = {"title": axis_title(QUALITY_TITLES.get(histogram.name, plain(histogram.name)))}
    y = {"title": axis_title(unit), "tickformat": ",d"}
    legend = set(histogram.counts) <= set(fates)
    return traces, layout(250, x, y, barmode="stack", bargap=0, showlegend=legend)
