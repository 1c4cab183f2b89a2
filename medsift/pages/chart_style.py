"""Define the colours, layout and text that all charts share."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from typing import Any

from medsift.manifest.any_version import Line

Figure = tuple[list[Line], Line]
"""Traces and layout, as plotly takes them."""

# Okabe and Ito's colours, which differ for any colour vision, without yellow, which is hard to see
# on white. Grey marks dropped rows. The page's script changes ACCENT, SKY, PAPER, text and rules
# with the theme; PLUS and MINUS are readable under white figures in both.
ACCENT = "#0072B2"
PAPER = "#FFFFFE"
SKY = "#56B4E9"
PLUS = "#1170AA"
MINUS = "#B5480F"
GONE = "#9AA4AE"
FAILED = "#D55E00"
COLOURS = (ACCENT, "#E69F00", "#009E73", "#CC79A7", SKY, "#D55E00", "#8C6BB1")
REST = "#777777"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', sans-serif"
LEGEND = {"orientation": "h", "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom"}


def plain(text: object) -> str:
    """Return text that plotly shows as it is; it would read tags and entities in other text."""
    return html.escape(str(text), quote=False)


def layout(height: int, x: Line, y: Line, **more: Any) -> Line:
    """Return a plain layout: no background, thin rules, legend above, axes with titles."""
    axis = {"automargin": True, "zeroline": False, "fixedrange": True}
    return {
        "template": "none",
        "height": height,
        "margin": {"l": 8, "r": 16, "t": 8, "b": 8, "autoexpand": True},
        "font": {"family": FONT, "size": 13},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "separators": ".,",
        "legend": {**LEGEND, "traceorder": "normal"},
        "xaxis": {**axis, **x},
        "yaxis": {**axis, **y},
        **more,
    }


def scatter(mode: str, name: str, x: list[Any], y: list[Any], hover: str, **more: Any) -> Line:
    """Return a scatter trace of a figure.

    Args:
        mode: `lines` or `markers`.
        name: its text in the legend, shown as it is.
        x: n values.
        y: n values.
        hover: Plotly's template of the text at a point.
        **more: other settings of the trace, by the names that Plotly gives them.
    """
    trace = {"type": "scatter", "mode": mode, "name": plain(name), "x": x, "y": y}
    return {**trace, "hovertemplate": hover, **more}


def axis_title(text: str) -> Line:
    """Return an axis title a little off its axis."""
    return {"text": text, "standoff": 10}


def as_json(traces: Sequence[Line], frame: Line) -> str:
    """Check a figure and return its JSON, in which no character can end a script element."""
    import plotly.graph_objects as go

    text = str(go.Figure(data=list(traces), layout=frame).to_json())
    return re.sub("[<>&\u2028\u2029]", lambda sign: f"\\u{ord(sign[0]):04x}", text)
