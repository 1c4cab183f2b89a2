"""Format numbers, times and settings for the pages."""

from __future__ import annotations

import json
from typing import Final

NO_VALUE: Final = "–"


def number(value: float | None, digits: int = 0) -> str:
    """Return a number with thousands separators, or a dash."""
    return NO_VALUE if value is None else f"{value:,.{digits}f}"


def share(part: float | None, whole: float | None) -> str:
    """Return `part` of `whole` in per cent, or a dash without a whole."""
    return NO_VALUE if part is None or not whole else f"{100 * part / whole:,.1f}%"


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


def indented(settings: str | None) -> str:
    """Return JSON settings with a line for each; empty text without settings."""
    return json.dumps(json.loads(settings), indent=2, ensure_ascii=False) if settings else ""


def versions(packages: str | None) -> list[tuple[str, str]]:
    """Return packages and their versions by name, from a JSON object."""
    named = json.loads(packages) if packages else {}
    return sorted((str(name), str(version)) for name, version in named.items())
