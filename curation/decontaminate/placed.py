"""Find pictures that show a benchmark's in part, turned, mirrored, inverted or among others.

The parts are registered by their local contrast, then one's grey levels are put in place of the
other's by the curve that fits best: a gamma, another window and an inversion are such curves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from curation.decontaminate.placements import (
    Described,
    Maps,
    blocks,
    describe,
    place,
    products,
    sample,
    smooth,
)
from curation.matching.registration import Level, Thumbs, register, warp, workers
from medsift.arrays import Floats, Indices
from medsift.records import THUMB_SIDE

if TYPE_CHECKING:
    from torch import Tensor

POOL_AT_A_TIME = 256  # pictures, of 75 kB of descriptions each
BENCHMARK_AT_A_TIME = 512
PAIRS_AT_A_TIME = 128
NEAR_BLUR = 0.7  # pixels: finer structure is lost where a part was small
WIDE_BLUR = 3.0  # pixels over which contrast is levelled
FAINT = 2.0  # grey levels of contrast below which a region counts less: noise and JPEG blocks
KNOTS = 12  # of the curve of grey levels
MARK_BLUR = 1.5  # pixels over which a misfit counts as one
COVERED = 0.15  # share of a picture that marks and writing may cover
ROUNDS = 3  # of judging what is covered
LEVELS = (Level(16, 1, 2.5, 3), Level(32, 2, 1.5, 4))
JUDGED = Level(THUMB_SIDE, 3, 0.7, 0)


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
        """Compare some pictures of the pool with a block of the benchmark.

        Args:
            rows: Where these pictures stand in the whole pool.
            first: Number of the block's first picture in the whole benchmark.
            pool: Descriptions of these pictures.
            bench: Descriptions of the block.
        """
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
    left_maps, right_maps = best.left_maps[left, slot], best.right_maps[left, slot]
    likeness = np.zeros(len(left), np.float32)

    def compare_batch(start: int) -> None:
        some = slice(start, start + PAIRS_AT_A_TIME)
        target = _part(pool[left[some]], left_maps[some])
        source = _part(bench[right[some]], right_maps[some])
        likeness[some] = _compare(target, source).numpy()

    with workers() as threads:
        list(threads.map(compare_batch, range(0, len(left), PAIRS_AT_A_TIME)))
    near = likeness >= least
    return Placed(left[near], right[near], likeness[near])


def _part(thumbs: Thumbs, maps: Maps) -> Tensor:
    import torch

    pictures = torch.from_numpy(thumbs).float()
    return smooth(sample(pictures, torch.from_numpy(maps)[:, None], THUMB_SIDE)[:, 0], NEAR_BLUR)


def _compare(target: Tensor, source: Tensor) -> Tensor:
    """Return the likeness (p,), up to 1, of parts (p, 64, 64) that show the same at best."""
    import torch

    wanted, offered = _levelled(target), _levelled(source)
    # Of an inverted picture every edge goes the other way.
    offered = offered * (wanted * offered).sum((1, 2), keepdim=True).sign()
    still = torch.eye(2, 3).repeat(len(target), 1, 1)
    moved = still
    for level in LEVELS:
        moved, _ = register(level, wanted, offered, moved)
    best = torch.zeros(len(target))
    cut = slice(JUDGED.margin, JUDGED.side - JUDGED.margin)
    kept = target[:, cut, cut]
    # Registration can fail on a part with little structure: the better of both counts.
    for maps in (still, moved):
        placed = warp(source, maps, JUDGED).view_as(kept)
        best = torch.maximum(best, _alike(kept, placed))
        best = torch.maximum(best, _alike(placed, kept))
    return best


def _levelled(pictures: Tensor, seen: Tensor | None = None) -> Tensor:
    """Take the local mean out of pictures (p, h, w) and make their local contrast equal.

    Only what is `seen` (p, h, w; shares of 1) enters the means.
    """
    if seen is None:
        detail = pictures - smooth(pictures, WIDE_BLUR)
        return detail / (smooth(detail**2, WIDE_BLUR) + FAINT**2).sqrt()
    share = smooth(seen, WIDE_BLUR).clamp_min(1e-3)
    detail = pictures - smooth(pictures * seen, WIDE_BLUR) / share
    return detail / (smooth(detail**2 * seen, WIDE_BLUR) / share + FAINT**2).sqrt()


def _alike(wanted: Tensor, offered: Tensor) -> Tensor:
    """Correlate the local contrast (p,) once grey levels of `offered` fit those of `wanted`.

    The part that fits worst is left out: marks and writing cover it.
    """
    import torch

    seen = torch.ones_like(wanted)
    for _ in range(ROUNDS):
        left = _levelled(wanted, seen)
        right = _levelled(_in_levels_of(wanted, offered, seen), seen)
        apart = smooth((left - right) ** 2, MARK_BLUR)
        bar = apart.flatten(1).quantile(1 - COVERED, dim=1)
        seen = (apart <= bar[:, None, None]).float()
    count = seen.sum((1, 2), keepdim=True)
    first = (left - (left * seen).sum((1, 2), keepdim=True) / count) * seen
    second = (right - (right * seen).sum((1, 2), keepdim=True) / count) * seen
    squares = (first**2).sum((1, 2)) * (second**2).sum((1, 2))
    return (first * second).sum((1, 2)) / squares.sqrt().clamp_min(1e-3)


def _in_levels_of(wanted: Tensor, offered: Tensor, seen: Tensor) -> Tensor:
    """Map `offered` by the piecewise linear curve that brings it nearest to `wanted`."""
    import torch

    grey = offered.flatten(1)
    low, high = grey.amin(1, keepdim=True), grey.amax(1, keepdim=True)
    place = (grey - low) / (high - low).clamp_min(1e-3) * (KNOTS - 1)
    hats = (1 - (place[:, :, None] - torch.arange(float(KNOTS))).abs()).clamp_min(0)
    weighed = (hats * seen.flatten(1)[:, :, None]).transpose(1, 2)
    # Knots that few pixels use follow their neighbours rather than noise.
    bend = torch.diff(torch.eye(KNOTS), n=2, dim=0)
    normal = weighed @ hats + torch.eye(KNOTS) * 1e-2 + bend.T @ bend
    curve = torch.linalg.solve(normal, weighed @ wanted.flatten(1)[:, :, None])
    fitted: Tensor = hats @ curve
    return fitted.view_as(offered)
