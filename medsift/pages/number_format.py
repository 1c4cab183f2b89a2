"""Format numbers, times, names and settings for pages and messages."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final, Literal

NO_VALUE: Final = "–"


def number(value: float | None, digits: int = 0) -> str:
    """Return a number with thousands separators, or a dash."""
    return NO_VALUE if value is None else f"{value:,.{digits}f}"


def share(part: float | None, whole: float | None) -> str:
    """Return `part` of `whole` in per cent, or a dash without a whole."""
    return NO_VALUE if part is None or not whole else f"{100 * part / whole:,.1f}%"


def percent(value: float | None) -> str:
    """Return a share in per cent, or a dash."""
    return NO_VALUE if value is None else f"{100 * value:.1f}%"


def with_interval(
    value: float | None, low: float | None, high: float | None, sign: Literal["", "+"] = ""
) -> str:
    """Return a value with its interval to three decimals.

    Args:
        value: None gives a dash.
        low: the interval's lower end; None leaves the interval out.
        high: the interval's upper end; None leaves the interval out.
        sign: "+" writes a sign before every number, as differences need.
    """
    if value is None:
        return NO_VALUE
    if low is None or high is None:
        return f"{value:{sign}.3f}"
    return f"{value:{sign}.3f} [{low:{sign}.3f}, {high:{sign}.3f}]"


def similarity(value: float | None) -> str:
    """Return a similarity with three decimals, cut so that only equality shows 1."""
    return NO_VALUE if value is None else f"{int(value * 1000) / 1000:.3f}"


def clock(seconds: float | None) -> str:
    """Return seconds for readers: 0.42 s, 12.3 s, 4 min 05 s, 2 h 03 min."""
    if seconds is None:
        return NO_VALUE
    if seconds < 60:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes_left = divmod(minutes, 60)
    return f"{hours} h {minutes_left:02d} min" if hours else f"{minutes} min {rest:02d} s"


def listed(names: Sequence[str]) -> str:
    """Return names as a reader says them: a, b and c."""
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)


def indented(settings: str | None) -> str:
    """Return JSON settings with a line for each; empty text without settings."""
    return json.dumps(json.loads(settings), indent=2, ensure_ascii=False) if settings else ""


def versions(packages: str | None) -> list[tuple[str, str]]:
    """Return packages and their versions by name, from a JSON object."""
    named = json.loads(packages) if packages else {}
    return sorted((str(name), str(version)) for name, version in named.items())
