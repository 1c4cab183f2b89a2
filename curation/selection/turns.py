"""Targets that take turns, each its nearest sample that is still free, in bounded memory.

A target's whole ranking of the pool is never kept: only its nearest `listed` samples are, and new
ones are found when these are used up. Free samples never become more, so the nearest free one of a
list is the nearest free one of the pool as long as the list has any.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from curation.selection.quantized_vectors import Lattice
from medsift.arrays import Flags, Indices

Narrow = NDArray[np.int32]

LISTED: Final = 1 << 25
"""Places in the lists of all targets together: 128 MiB."""
PRODUCTS: Final = 1 << 24
"""Products that are worked out at once: 64 MiB."""
LOOKED_AT: Final = 64


class Rankings:
    """The nearest samples of each of t targets among n vectors; equals go by their place.

    Args:
        vectors: The pool (n, d).
        targets: Places of the targets (t,).
        listed: Samples that each list holds at most; None is what `LISTED` allows.
    """

    def __init__(self, vectors: Lattice, targets: Indices, listed: int | None = None) -> None:
        self.points, self.targets = vectors.points, targets
        allowed = max(LOOKED_AT, LISTED // max(1, len(targets)))
        self.length = min(len(vectors), listed or allowed)
        everyone = np.ones(len(vectors), np.bool_)
        self.first = self.nearest(np.arange(len(targets)), everyone)

    def nearest(self, asked: Indices, free: Flags) -> list[Narrow]:
        """The nearest free samples of some targets (a,), by their numbers, best first."""
        found: list[Narrow] = []
        step = max(1, PRODUCTS // max(1, len(self.points)))
        length = min(self.length, int(free.sum()))
        for start in range(0, len(asked), step):
            some = self.targets[asked[start : start + step]]
            products = self.points[some] @ self.points.T
            products[:, ~free] = -np.inf
            found += [_best(line, length) for line in products]
        return found


def take_turns(rankings: Rankings, code: Indices, counts: Indices) -> tuple[Indices, Indices]:
    """Places (m,) in the order they are taken, and the number (m,) of the target that took each.

    Samples of group `code` (n,) are taken until there are `counts` (g,) of each.
    """
    left = counts.copy()
    free = left[code] > 0
    lists, done = list(rankings.first), np.zeros(len(rankings.targets), np.int64)
    wanted = int(counts.sum())
    order, takers = np.empty(wanted, np.int64), np.empty(wanted, np.int64)
    for turn in range(wanted):
        target = turn % len(lists)
        place = _next(lists, done, target, free)
        if place is None:
            _refill(rankings, lists, done, target, free)
            place = _next(lists, done, target, free)
            assert place is not None, "counts ask for no more than there is"
        order[turn], takers[turn] = place, target
        free[place] = False
        group = code[place]
        left[group] -= 1
        if not left[group]:
            free[code == group] = False
    return order, takers


def _next(lists: list[Narrow], done: Indices, target: int, free: Flags) -> int | None:
    """The next free sample of a target's list, which is then behind it; None at its end."""
    held = lists[target]
    while done[target] < len(held):
        some = held[done[target] : done[target] + LOOKED_AT]
        there = np.flatnonzero(free[some])
        if len(there):
            done[target] += there[0] + 1
            return int(some[there[0]])
        done[target] += len(some)
    return None


def _refill(
    rankings: Rankings, lists: list[Narrow], done: Indices, target: int, free: Flags
) -> None:
    """New lists for a target and for all others whose own are half used: one product serves them.

    Targets that are alike use up their lists together.
    """
    half = np.array([len(held) for held in lists]) < 2 * done
    half[target] = True
    asked = np.flatnonzero(half)
    for number, held in zip(asked.tolist(), rankings.nearest(asked, free), strict=True):
        lists[number], done[number] = held, 0


def _best(products: NDArray[np.float32], count: int) -> Narrow:
    """Places (count,) of the greatest products (n,), the greatest first, equals by place."""
    if count < len(products):
        least = -np.partition(-products, count - 1)[count - 1] if count else np.inf
        above = np.flatnonzero(products > least)
        equal = np.flatnonzero(products == least)[: count - len(above)]
        places = np.sort(np.concatenate([above, equal]))
    else:
        places = np.arange(len(products))
    order = np.argsort(-products[places], kind="stable")
    return places[order].astype(np.int32)
