"""Count the panels of a figure: by straight gutters in its pixels, by letters in its caption."""

from __future__ import annotations

import re
from typing import Final

import numpy as np
from numpy.typing import NDArray

Grey = NDArray[np.int16]

WHITE, BLACK = 240, 12
"""Mean grey levels from which a line of a gutter is white, and up to which it is black."""
RINGING: Final = 32
"""Grey levels by which single pixels of a gutter may be off, as JPEG leaves them near edges."""
LEAST_WIDTH: Final = 0.004
"""Width of a gutter, of the picture's side, and two pixels at least."""
LEAST_PANEL: Final = 0.12
"""Side of a panel, of the picture's side."""
EDGE: Final = 0.4
"""Share of a gutter's length along which a panel begins: a gap between organs is not straight."""
DIFFERENT: Final = 24
"""Grey levels by which a panel differs from its gutter."""
DEPTH: Final = 3
_GROUP: Final = re.compile(r"\(\s*([a-z](?:\s*(?:[,;&–-]|and|to)\s*[a-z])*)\s*\)", re.IGNORECASE)
_RANGE: Final = re.compile(r"([a-z])\s*(?:[–-]|to)\s*([a-z])")


def caption_panels(caption: str) -> int:
    """Return how many panels a caption's letters name, from A without a gap: "(A) … (B–D)" is 4.

    1 where it names none, or A alone.
    """
    letters: set[str] = set()
    for group in _GROUP.findall(caption):
        folded = group.lower()
        letters |= set(re.findall(r"\b[a-z]\b", folded))
        for first, last in _RANGE.findall(folded):
            letters |= {chr(code) for code in range(ord(first), ord(last) + 1)}
    count = 0
    while chr(ord("a") + count) in letters:
        count += 1
    return max(count, 1)


def picture_panels(grey: NDArray[np.uint8]) -> int:
    """Return how many panels straight white or black gutters cut a picture (h, w) into."""
    return _leaves(_without_border(grey.astype(np.int16)), grey.shape, DEPTH)


def _leaves(part: Grey, whole: tuple[int, ...], depth: int) -> int:
    """Count the parts that cannot be cut further, by rows or columns in turn."""
    if not depth:
        return 1
    for axis in (0, 1):
        turned = part if axis == 0 else part.T
        cuts = _gutters(turned, whole[axis])
        if cuts:
            starts = [0, *(stop for _, stop in cuts)]
            stops = [*(start for start, _ in cuts), len(turned)]
            pieces = (
                turned[start:stop]
                for start, stop in zip(starts, stops, strict=True)
                if stop > start
            )
            sides = whole if axis == 0 else whole[::-1]
            return sum(_leaves(_without_border(piece), sides, depth - 1) for piece in pieces)
    return 1


def _uniform(part: Grey) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which rows (h,) are white throughout, and which are black."""
    mean = part.mean(axis=1)
    white = (part.min(axis=1) >= WHITE - RINGING) & (mean >= WHITE)
    return white, (part.max(axis=1) <= BLACK + RINGING) & (mean <= BLACK)


def _gutters(part: Grey, side: int) -> list[tuple[int, int]]:
    """Return the rows (start, stop) of each gutter across a part of a picture of that side."""
    found: list[tuple[int, int]] = []
    last = 0
    for flags in _uniform(part):
        edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
        for start, stop in edges.reshape(-1, 2).tolist():
            wide = stop - start >= max(2, round(LEAST_WIDTH * side))
            if wide and start > 0 and stop < len(part) and _straight(part, start, stop):
                found.append((start, stop))
    kept: list[tuple[int, int]] = []
    for start, stop in sorted(found):
        if start - last >= LEAST_PANEL * side and len(part) - stop >= LEAST_PANEL * side:
            kept.append((start, stop))
            last = stop
    return kept


def _straight(part: Grey, start: int, stop: int) -> bool:
    """Return whether something begins along much of both edges of a gutter."""
    level = int(part[start:stop].mean())
    # Two lines further: JPEG blurs the first one.
    above, below = part[max(start - 3, 0) : start], part[stop : stop + 3]
    shares = [
        float((np.abs(lines - level).max(axis=0) > DIFFERENT).mean()) for lines in (above, below)
    ]
    return max(shares) >= EDGE


def _without_border(part: Grey) -> Grey:
    """Return a picture without its white or black margins; one of nothing else stays."""
    for _ in range(2):
        white, black = _uniform(part)
        inside = np.flatnonzero(~(white | black))
        if len(inside):
            part = part[inside[0] : inside[-1] + 1]
        part = part.T
    return part
