"""Scores, intervals and long texts as the page writes them."""

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


def excerpt(text: str, limit: int) -> Excerpt:
    """At most `limit` characters of a text."""
    return Excerpt(text, None) if len(text) <= limit else Excerpt(text[:limit], len(text))


def percent(value: float | None) -> str:
    """A share in per cent, or a dash."""
    return NO_VALUE if value is None else f"{100 * value:.1f}%"


def points(value: float | None) -> str:
    """A difference of shares in points, or a dash."""
    if value is None:
        return NO_VALUE
    text = f"{100 * value:.1f}"
    return "0.0" if float(text) == 0 else text.replace("-", "−")


def ends(line: Line | None) -> str:
    """The interval of a share; empty where there is none."""
    if line is None or line["low"] is None:
        return ""
    return f"{100 * line['low']:.1f}–{100 * line['high']:.1f}%"


def signed_ends(line: Line | None) -> str:
    """The interval of a difference, in points; empty where there is none."""
    if line is None or line["low"] is None:
        return ""
    return f"{points(line['low'])} to {points(line['high'])}"


def few(line: Line | None) -> bool:
    """Whether a figure stands on so few replies that it is to be marked."""
    return line is not None and line["value"] is not None and line["n"] < FEW


def listed(names: list[str]) -> str:
    """Names as a reader says them: a, b and c."""
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)


def left_out(given: str | None) -> list[tuple[str, str, int]]:
    """Variant, reason and number of the items it could not be made of, from JSON."""
    found: dict[str, dict[str, int]] = json.loads(given) if given else {}
    return [
        (variant, reason, count)
        for variant, reasons in found.items()
        for reason, count in reasons.items()
    ]
