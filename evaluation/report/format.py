"""Format scores, intervals and long texts for the page."""

from __future__ import annotations

import json
from typing import Final, NamedTuple

from medsift.manifest.any_version import Line
from medsift.pages.number_format import NO_VALUE

FEW: Final = 30
"""Figures of fewer replies are marked."""


class Excerpt(NamedTuple):
    """The beginning of a text, and its length in characters where that is not all of it."""

    text: str
    length: int | None


def excerpt(text: str | None, limit: int) -> Excerpt | None:
    """Return at most `limit` characters of a text, None where there is none."""
    if text is None:
        return None
    return Excerpt(text, None) if len(text) <= limit else Excerpt(text[:limit], len(text))


def points(value: float | None) -> str:
    """Return a difference of shares in points, or a dash."""
    if value is None:
        return NO_VALUE
    text = f"{100 * value:.1f}"
    return "0.0" if float(text) == 0 else text.replace("-", "−")


def ends(line: Line | None) -> str:
    """Return the interval of a share; empty where there is none."""
    if line is None or line["low"] is None:
        return ""
    return f"{100 * line['low']:.1f}–{100 * line['high']:.1f}%"


def signed_ends(line: Line | None) -> str:
    """Return the interval of a difference, in points; empty where there is none."""
    if line is None or line["low"] is None:
        return ""
    return f"{points(line['low'])} to {points(line['high'])}"


def few(line: Line | None) -> bool:
    """Return whether a figure rests on so few replies that it is to be marked."""
    return line is not None and line["value"] is not None and line["n"] < FEW


def left_out(given: str | None) -> list[tuple[str, str, int]]:
    """Return variant, reason and number of the items it could not be made of, from JSON."""
    counts: dict[str, dict[str, int]] = json.loads(given) if given else {}
    return [
        (variant, reason, count)
        for variant, reasons in counts.items()
        for reason, count in reasons.items()
    ]
