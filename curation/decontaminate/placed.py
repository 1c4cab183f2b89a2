"""Pictures that show one of a benchmark in part, turned, mirrored, inverted or among others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from curation.decontaminate.likeness import compare
from curation.decontaminate.placements import Described, Maps, blocks, describe, place, products
from curation.matching.registration import Thumbs
from medsift.arrays import Floats, Indices

MINE_AT_A_TIME = 256  # pictures, of 75 kB of descriptions each
THEIRS_AT_A_TIME = 512


@dataclass(frozen=True, slots=True)
class Placed:
    """Pairs (p,) of a pool picture and a benchmark picture, and how much they show the same."""

    mine: Indices
    theirs: Indices
    likeness: Floats


@dataclass(slots=True)
class _Best:
    """The `k` most promising benchmark pictures of each of n: their product, number and maps."""

    product: Floats
    theirs: Indices
    maps: Maps
    other_maps: Maps

    @classmethod
    def none(cls, count: int, most: int) -> _Best:
        """Nothing yet; -1 represents no picture."""
        return cls(
            np.full((count, most), -np.inf, np.float32),
            np.full((count, most), -1, np.int64),
            np.zeros((count, most, 2, 3), np.float32),
            np.zeros((count, most, 2, 3), np.float32),
        )

    def take(self, rows: slice, first: int, mine: Described, theirs: Described) -> None:
        """Compare pictures `rows` with a block of the benchmark that starts at `first`."""
        most = self.product.shape[1]
        new = products(mine, theirs)
        both = np.concatenate([self.product[rows], new], 1)
        # Stable, so that of equal products the first picture by id stays.
        order = np.argsort(-both, axis=1, kind="stable")[:, :most]
        known = order < most
        picked = np.where(known, order, 0)
        row = np.arange(len(order))[:, None]
        for name in ("theirs", "maps", "other_maps"):
            held = getattr(self, name)
            held[rows] = held[rows][row, picked]
        self.product[rows] = both[row, order]
        at, slot = np.nonzero(~known)
        column = order[at, slot] - most
        one, other = place(mine, theirs, at, column)
        self.theirs[rows][at, slot] = column + first
        self.maps[rows][at, slot], self.other_maps[rows][at, slot] = one, other


def find_placed(mine: Thumbs, theirs: Thumbs, least: float, most: int) -> Placed:
    """Pairs whose likeness is `least` or more, among the `most` most promising of each of `mine`.

    Time grows with the product of both; memory with `mine` and a few blocks. Miniatures (n, 64,
    64) and (m, 64, 64); each should come in a fixed order, as equals are taken by place.
    """
    most = min(most, len(theirs))
    best = _Best.none(len(mine), most)
    described = describe(mine) if len(mine) <= MINE_AT_A_TIME else None
    for block in blocks(len(theirs), THEIRS_AT_A_TIME):
        other = describe(theirs[block])
        for rows in blocks(len(mine), MINE_AT_A_TIME):
            best.take(rows, block.start, described or describe(mine[rows]), other)
    left, slot = np.nonzero(best.theirs >= 0)
    right = best.theirs[left, slot]
    likeness = compare(
        mine, theirs, left, right, best.maps[left, slot], best.other_maps[left, slot]
    )
    near = likeness >= least
    return Placed(left[near], right[near], likeness[near])
