"""Bound each cosine from above by a cheap product that never misses a pair, with the proof.

Write u = 2**-24 for the unit roundoff of float32 and g(d) = d*u / (1 - d*u). In any order of
summation, with or without fused multiply-add, |fl(x.y) - x.y| <= g(d) * |x| * |y| (Higham,
Accuracy and Stability of Numerical Algorithms, 2002, section 3.1).

**Leading coordinates.** Let Q hold the first w axes of an orthonormal basis, a = Q'x, b = Q'y.
Then x.y = a.b + (x - Qa).(y - Qb) <= a.b + |x - Qa| * |y - Qb| by Cauchy and Schwarz, so the
product of (a, |x - Qa|) and (b, |y - Qb|), w + 1 numbers each, is never below the cosine. The
axes are the principal ones of a sample, where the rest is smallest; a poor sample costs time,
never a pair. (The same bound prunes maximum inner product search in LEMP, Teflioudi et al. 2015.)

**bfloat16.** It has 8 significant bits, so rounding a vector moves it by at most 2**-8 of its
length; a product of two rounded vectors is off by at most 2*2**-8 + 2**-16, the float32 sum by
g(d), and rounding the sum to bfloat16 by 2**-8 of itself.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import numpy as np

from curation.neighbors.cosine import tensor_of
from medsift.arrays import Doubles, Floats, Indices

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

Precision = Literal["auto", "float32", "bfloat16"]

_SMALLEST = 4096  # rows below which one plain product is cheaper than finding axes
_SAMPLE = 2048
_ROWS_AT_A_TIME = 1024
# Verifying one pair costs about as much as this many full-width products (measured).
_VERIFY = 400
# The float64 projection and the square root of a difference of squares are off by less.
_PROJECTION = 2e-6


@dataclass(frozen=True, slots=True)
class Prefilter:
    """Rows (n, w) whose products, plus `margin`, are at least the cosines."""

    rows: Floats
    margin: float
    precision: Literal["float32", "bfloat16"]


def rounding(width: int) -> float:
    """Return the largest error of a float32 product of unit vectors of that width."""
    terms = (width + 2) * 2.0**-24
    return terms / (1.0 - terms)


def make_prefilter(
    vectors: Floats, norms: Doubles, threshold: float, precision: Precision
) -> Prefilter:
    """Return the cheapest prefilter for the cosines >= threshold of vectors (n, d).

    Args:
        vectors: Nearly unit vectors (n, d).
        norms: Their lengths (n,).
        threshold: Cosine from which two rows are a pair.
        precision: Of the products; "auto" measures which is faster.
    """
    import torch

    width = vectors.shape[1]
    if precision == "auto":
        precision = "bfloat16" if bfloat16_is_faster(width) else "float32"
    deviation = float(np.abs(norms - 1.0).max(initial=0.0))
    # cos >= t means x.y >= t * |x| * |y| >= t - |t| * (2 * deviation + deviation**2).
    margin = (2.0 * deviation + deviation**2) * max(abs(threshold), 1.0) + 1e-9
    margin += rounding(width) * (1.0 + deviation) ** 2
    if precision == "bfloat16":
        # 2 * 2**-8 + 2**-16 for the vectors and 2**-8 for the sum, rounded up.
        margin += 3.1 * 2.0**-8 * (1.0 + deviation) ** 2
    if len(vectors) >= _SMALLEST and width >= 64:
        sample = tensor_of(vectors[_spread(len(vectors), _SAMPLE, 0)]).double()
        # An orthonormal basis (d, d), the axes of most energy first.
        basis = np.asarray(torch.linalg.eigh(sample.T @ sample)[1].flip(1).contiguous())
        axes = _cheapest_width(vectors, basis, threshold - margin - _PROJECTION)
        logger.debug("prefilter uses %d of %d coordinates", axes, width)
        if axes < width:
            return Prefilter(_project(vectors, basis[:, :axes]), margin + _PROJECTION, precision)
    return Prefilter(vectors, margin, precision)


def _spread(count: int, size: int, offset: int) -> Indices:
    """Return at most `size` evenly spaced rows: a drawn sample would make time depend on a seed."""
    step = max(1, count // size)
    return np.arange(offset % step, count, step, dtype=np.int64)[:size]


def _cheapest_width(vectors: Floats, basis: Doubles, bar: float) -> int:
    """Return the number of axes with the least products plus verified pairs, by a sample."""
    width = vectors.shape[1]
    left = vectors[_spread(len(vectors), _SAMPLE // 4, 1)]
    right = vectors[_spread(len(vectors), _SAMPLE, 0)]
    costs = {width: width * (1.0 + _VERIFY * _share(left, right, bar))}
    for axes in (width // 8, width // 4, width // 2):
        narrow = basis[:, :axes]
        share = _share(_project(left, narrow), _project(right, narrow), bar)
        costs[axes] = axes + width * _VERIFY * share
    return int(min(costs, key=lambda axes: (costs[axes], axes)))


def _share(left: Floats, right: Floats, bar: float) -> float:
    product = tensor_of(left) @ tensor_of(right).T
    return float((product >= bar).sum()) / product.numel()


def _project(vectors: Floats, axes: Doubles) -> Floats:
    """Return (n, w + 1): the coordinates along axes (d, w), then the length of the rest."""
    projected = np.empty((len(vectors), axes.shape[1] + 1), dtype=np.float32)
    for start in range(0, len(vectors), _ROWS_AT_A_TIME):
        block = vectors[start : start + _ROWS_AT_A_TIME].astype(np.float64)
        leading = (tensor_of(block) @ tensor_of(axes)).numpy()
        rest = np.einsum("ij,ij->i", block, block) - np.einsum("ij,ij->i", leading, leading)
        target = projected[start : start + _ROWS_AT_A_TIME]
        target[:, :-1] = leading
        # Rounding can make the rest slightly negative where a row is within the axes.
        target[:, -1] = np.sqrt(np.maximum(rest, 0.0))
    return projected


@lru_cache
def bfloat16_is_faster(width: int) -> bool:
    """Return whether this processor multiplies bfloat16 in under two thirds of float32's time.

    Only processors with matrix tiles do; elsewhere bfloat16 is emulated or not worth its
    wider margin. Either answer gives the same pairs.
    """
    import torch

    rows = torch.full((1024, width), width**-0.5)
    return _seconds(rows.bfloat16()) < _seconds(rows) / 1.5


def _seconds(rows: torch.Tensor) -> float:
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        rows @ rows.T
        best = min(best, time.perf_counter() - start)
    return best
