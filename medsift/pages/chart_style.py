"""Colours, layout and text that all charts share."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

from medsift.manifest.any_version import Line

Figure = tuple[list[Line], Line]
"""Traces and layout, as plotly takes them."""

# Okabe and Ito's colours, told apart with any colour vision; yellow is left out, it is lost on
# white. Grey is for what goes away. The page's script swaps ACCENT, SKY, PAPER, text and rules by
# theme; PLUS and MINUS carry white figures in both.
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
LEGEND = {
    "orientation": "h",
    "x": 0,
    "xanchor": "left",
    "y": 1.02,
    "yanchor": "bottom",
    "traceorder": "normal",
}


def plain(text: object) -> str:
    """Text that plotly shows as it is; unescaped, it would read tags and entities in it."""
    return html.escape(str(text), quote=False)


def layout(height: int, x: Line, y: Line, **more: Any) -> Line:
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


def axis_title(text: str) -> Line:
    """An axis title a little off its axis."""
    return {"text": text, "standoff": 10}


def as_json(traces: Sequence[Line], frame: Line) -> str:
    """A checked figure as JSON in which no character can end a script element."""
    import plotly.graph_objects as go

    text = str(go.Figure(data=list(traces), layout=frame).to_json())
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
