"""Let targets take turns, each its nearest sample that is still free, in bounded memory.

A target's whole ranking of the pool is never kept: only its nearest samples are, and new ones are
searched when these are used up. Free samples never become more, so the nearest free one of a
list is the nearest free one of the pool as long as the list has any.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from curation.selection.quantized_vectors import QuantizedVectors
from medsift.arrays import Flags, Floats, Indices, Narrow

LISTED: Final = 1 << 25
"""Rows in the lists of all targets together: 128 MiB."""
PRODUCTS: Final = 1 << 24
"""Products that are computed at once: 64 MiB."""
STEP: Final = 64
"""Rows of a list that are looked at together."""


class Rankings:
    """The nearest samples of each of t targets among n vectors; equally near ones by row.

    Args:
        vectors: The pool (n, d).
        targets: Rows of the targets (t,).
        length: Samples of each list at most; None is what `LISTED` allows.
    """

    def __init__(
        self, vectors: QuantizedVectors, targets: Indices, length: int | None = None
    ) -> None:
        self.points, self.targets = vectors.points, targets
        allowed = max(STEP, LISTED // max(1, len(targets)))
        self.length = min(len(vectors), length or allowed)
        everyone = np.ones(len(vectors), np.bool_)
        self.first = self.nearest(np.arange(len(targets)), everyone)

    def nearest(self, numbers: Indices, free: Flags) -> list[Narrow]:
        """Return the nearest free samples of the targets of some numbers (a,), best first."""
        lists: list[Narrow] = []
        step = max(1, PRODUCTS // max(1, len(self.points)))
        length = min(self.length, int(free.sum()))
        for start in range(0, len(numbers), step):
            rows = self.targets[numbers[start : start + step]]
            products = self.points[rows] @ self.points.T
            products[:, ~free] = -np.inf
            lists += [_best(of_target, length) for of_target in products]
        return lists


def take_turns(rankings: Rankings, code: Indices, counts: Indices) -> tuple[Indices, Indices]:
    """Return the rows (m,) in the order they are taken, and the number (m,) of each one's target.

    Samples of group `code` (n,) are taken until there are `counts` (g,) of each.
    """
    missing = counts.copy()
    free = missing[code] > 0
    lists, done = list(rankings.first), np.zeros(len(rankings.targets), np.int64)
    wanted = int(counts.sum())
    order, takers = np.empty(wanted, np.int64), np.empty(wanted, np.int64)
    for turn in range(wanted):
        target = turn % len(lists)
        row = _next(lists, done, target, free)
        if row is None:
            # Targets that are alike use up their lists together: one product also serves all
            # others whose own are half used.
            used = np.array([len(rows) for rows in lists]) < 2 * done
            used[target] = True
            numbers = np.flatnonzero(used)
            for number, rows in zip(numbers.tolist(), rankings.nearest(numbers, free), strict=True):
                lists[number], done[number] = rows, 0
            row = _next(lists, done, target, free)
            assert row is not None, "counts ask for no more than there is"
        order[turn], takers[turn] = row, target
        free[row] = False
        group = code[row]
        missing[group] -= 1
        if not missing[group]:
            free[code == group] = False
    return order, takers


def _next(lists: list[Narrow], done: Indices, target: int, free: Flags) -> int | None:
    """Return the next free sample of a target's list and move past it; None at its end."""
    rows = lists[target]
    while done[target] < len(rows):
        part = rows[done[target] : done[target] + STEP]
        available = np.flatnonzero(free[part])
        if len(available):
            done[target] += available[0] + 1
            return int(part[available[0]])
        done[target] += len(part)
    return None


def _best(products: Floats, count: int) -> Narrow:
    """Return the rows (count,) of the greatest products (n,), greatest first, equals by row."""
    rows = np.arange(len(products))
    if count < len(products):
        # A partition alone would take any of the rows that are equal to the least: of these the
        # first ones fill the list.
        least = -np.partition(-products, count - 1)[count - 1] if count else np.inf
        above = np.flatnonzero(products > least)
        equal = np.flatnonzero(products == least)[: count - len(above)]
        rows = np.sort(np.concatenate([above, equal]))
    return rows[np.argsort(-products[rows], kind="stable")].astype(np.int32)
