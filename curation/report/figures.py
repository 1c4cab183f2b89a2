"""The report's charts, as JSON that plotly.js draws in the page."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from curation.report.data import Facts, Histogram, Line

# Okabe and Ito's colours, told apart with any colour vision; yellow is left out, it is lost on
# white. Grey is for what goes away. The page's script swaps ACCENT, text and rules by theme.
ACCENT = "#0072B2"
GONE = "#9AA4AE"
FAILED = "#D55E00"
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8C6BB1")
REST = "#777777"
OTHER = "other"
ALL = "all"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', sans-serif"
LEGEND = {
    "orientation": "h",
    "x": 0,
    "xanchor": "left",
    "y": 1.02,
    "yanchor": "bottom",
    "traceorder": "normal",
}
QUALITY_TITLES = {
    "contrast": "contrast (standard deviation, grey levels)",
    "entropy": "entropy (bits)",
    "sharpness": "sharpness (log₁₀ of 1 + Laplacian variance)",
    "blank_share": "blank share (part of all pixels)",
}


def plain(text: object) -> str:
    """Text that plotly shows as it is; unescaped, it would read tags and entities in it."""
    return html.escape(str(text), quote=False)


def draw(facts: Facts) -> dict[str, str]:
    """Figure JSON by name, safe inside a script element; a chart without data is left out."""
    figures: dict[str, tuple[list[Line], Line]] = {}
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
    return {name: _json(traces, layout) for name, (traces, layout) in figures.items()}


def _json(traces: Sequence[Line], layout: Line) -> str:
    """A checked figure as JSON in which no character can end a script element."""
    import plotly.graph_objects as go

    text = str(go.Figure(data=list(traces), layout=layout).to_json())
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _layout(height: int, x: Line, y: Line, **more: Any) -> Line:
    """A quiet layout: no background, thin rules, legend above, axes with titles."""
    axis = {"automargin": True, "zeroline": False, "fixedrange": True}
    return {
        "template": "none",
        "height": height,
        "margin": {"l": 8, "r": 16, "t": 8, "b": 8, "autoexpand": True},
        "font": {"family": FONT, "size": 13},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "separators": ".,",
        "legend": {**LEGEND},
        "xaxis": {**axis, **x},
        "yaxis": {**axis, **y},
        **more,
    }


def _title(text: str) -> Line:
    return {"text": text, "standoff": 10}


def _funnel(stages: Sequence[Line]) -> tuple[list[Line], Line]:
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
    x = {"title": _title("rows"), "tickformat": ",d", "rangemode": "tozero"}
    height = 110 + 34 * len(stages)
    return traces, _layout(height, x, y, barmode="stack", bargap=0.35)


def _palette(modalities: Sequence[str]) -> dict[str, str]:
    """A colour per modality, commonest first; those beyond the palette share one."""
    ranked = sorted(Counter(modalities).items(), key=lambda item: (-item[1], item[0]))
    return {
        name: COLOURS[place] if place < len(COLOURS) else REST
        for place, (name, _) in enumerate(ranked)
    }


def _map(points: Sequence[Line]) -> tuple[list[Line], Line]:
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
    x = {**span, "title": _title("first principal axis"), "fixedrange": False}
    y = {**span, "title": _title("second principal axis"), "fixedrange": False}
    return traces, _layout(560, x, y, hovermode="closest", dragmode="pan")


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


def _sweep(lines: Sequence[Line]) -> tuple[list[Line], Line]:
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
    x = {"title": _title("cosine similarity threshold"), "tickformat": ".2f"}
    y = {"title": _title("images with a nearer neighbour"), "tickformat": ",d"}
    return traces, _layout(420, x, {**y, "rangemode": "tozero"}, hovermode="x unified")


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


def _bins(histogram: Histogram, unit: str) -> tuple[list[Line], Line]:
    """Counts per bin, kept below dropped."""
    edges = histogram.edges
    middles = [(low + high) / 2 for low, high in pairwise(edges)]
    widths = [high - low for low, high in pairwise(edges)]
    traces = [
        {
            "type": "bar",
            "name": name,
            "x": middles,
            "y": counts,
            "width": widths,
            "marker": {"color": colour, "line": {"width": 0}},
            "hovertemplate": "%{x:.3g}: %{y:,} " + f"{unit} {name}<extra></extra>",
        }
        for name, counts, colour in (
            ("kept", histogram.kept, ACCENT),
            ("dropped", histogram.dropped, GONE),
        )
    ]
    x = {"title": _title(QUALITY_TITLES.get(histogram.name, plain(histogram.name)))}
    y = {"title": _title(unit), "tickformat": ",d"}
    return traces, _layout(250, x, y, barmode="stack", bargap=0)
