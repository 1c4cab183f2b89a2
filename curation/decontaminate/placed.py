"""Find pictures that show a benchmark's in part, turned, mirrored, inverted or among others."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from curation.decontaminate.likeness import compare
from curation.decontaminate.placements import Described, blocks, describe, place, products
from curation.matching.registration import Thumbs
from medsift.arrays import Floats, Indices

POOL_AT_A_TIME = 256  # pictures, of 75 kB of descriptions each
BENCHMARK_AT_A_TIME = 512


class Placed(NamedTuple):
    """Pairs (p,) of a pool picture and a benchmark picture, and how much they show the same."""

    left: Indices
    right: Indices
    likeness: Floats


class _Best:
    """The `most` most promising benchmark pictures of each of `count`, and maps into both.

    `product` is -inf and `right` is -1 where there is none.
    """

    def __init__(self, count: int, most: int) -> None:
        self.product = np.full((count, most), -np.inf, np.float32)
        self.right = np.full((count, most), -1, np.int64)
        self.left_maps = np.zeros((count, most, 2, 3), np.float32)
        self.right_maps = np.zeros((count, most, 2, 3), np.float32)

    def take(self, rows: slice, first: int, pool: Described, bench: Described) -> None:
        """Compare pictures `rows` with a block of the benchmark that starts at `first`."""
        most = self.product.shape[1]
        both = np.concatenate([self.product[rows], products(pool, bench)], 1)
        # Stable, so that of equal products the first picture by id stays.
        order = np.argsort(-both, axis=1, kind="stable")[:, :most]
        kept = order < most
        row = np.arange(len(order))[:, None]
        for column in (self.right, self.left_maps, self.right_maps):
            column[rows] = column[rows][row, np.where(kept, order, 0)]
        self.product[rows] = both[row, order]
        new, slot = np.nonzero(~kept)
        column = order[new, slot] - most
        self.right[rows][new, slot] = column + first
        maps = place(pool, bench, new, column)
        self.left_maps[rows][new, slot], self.right_maps[rows][new, slot] = maps


def find_placed(pool: Thumbs, bench: Thumbs, least: float, most: int) -> Placed:
    """Return pairs whose likeness is `least` or more, among the most promising of each picture.

    Time grows with the product of both; memory with the pool and a few blocks.

    Args:
        pool: Miniatures (n, 64, 64), in a fixed order, as equals are taken by place.
        bench: Miniatures (m, 64, 64), in a fixed order too.
        least: Likeness from which a pair is returned.
        most: Benchmark pictures that are compared with each picture of the pool.
    """
    best = _Best(len(pool), min(most, len(bench)))
    # Described once where it fits: each block of the benchmark needs it again.
    described = describe(pool) if len(pool) <= POOL_AT_A_TIME else None
    for block in blocks(len(bench), BENCHMARK_AT_A_TIME):
        described_bench = describe(bench[block])
        for rows in blocks(len(pool), POOL_AT_A_TIME):
            best.take(rows, block.start, described or describe(pool[rows]), described_bench)
    left, slot = np.nonzero(best.right >= 0)
    right = best.right[left, slot]
    maps = best.left_maps[left, slot], best.right_maps[left, slot]
    likeness = compare(pool, bench, left, right, *maps)
    near = likeness >= least
    return Placed(left[near], right[near], likeness[near])
