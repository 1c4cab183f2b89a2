"""Fit the mean of clustered scores, its variance, and how far the variance can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
from numpy.typing import NDArray

from medsift.arrays import Doubles
from medsift.statistics.clusters import ClusterSums

# Differences below these are rounding: of scores up to 1, and of quotients of their squares.
SAME_SCORE: Final = 1e-9
NO_SPREAD: Final = 1e-12
# Weighted fits after one without weights: as many as the coverage was measured with.
ROUNDS: Final = 2


@dataclass(frozen=True, slots=True)
class ClusterFit:
    """Represent k means over G ≥ 2 clusters of unequal size: ratios of sums, each item counts once.

    Attributes:
        value: mean score (k,).
        total: scores behind it (k,).
        residuals: cluster sum less value times cluster size (G, k).
        left_out: the same with the value that all other clusters give (G, k).
        counts: cluster size (G, k).
        variance: of `value` (k,), linearised: G/(G-1) sum residual² / total² (CR1; Cochran 1977,
            equation 6.9, Liang & Zeger 1986).
        robust: of `value` (k,), by leaving out one cluster at a time (CR3; Bell & McCaffrey 2002).
            Larger where clusters are few or of unequal size, as it should be.
        freedom: degrees of freedom of `robust` (k,), at most G - 1 (see `_freedom`).
        constant: whether no two clusters differ in their mean (k,).
    """

    value: Doubles
    total: Doubles
    residuals: Doubles
    left_out: Doubles
    counts: Doubles
    variance: Doubles
    robust: Doubles
    freedom: Doubles
    constant: NDArray[np.bool_]

    @property
    def clusters(self) -> int:
        """Return G."""
        return len(self.counts)

    @property
    def effective(self) -> Doubles:
        """Return how many equal clusters (k,) are worth as much, at most G (Kish 1965, 8.2)."""
        worth: Doubles = self.total**2 / (self.counts**2).sum(0)
        return worth


def fit_clusters(data: ClusterSums) -> ClusterFit:
    """Fit every column; each cluster must have scores of each column, and G be at least 2."""
    groups, total = len(data.sums), data.counts.sum(0)
    value = data.sums.sum(0) / total
    residuals = data.sums - value * data.counts
    # The residual against the mean of all other clusters, without refitting G times.
    left_out = residuals / (1.0 - data.counts / total)
    return ClusterFit(
        value=value,
        total=total,
        residuals=residuals,
        left_out=left_out,
        counts=data.counts,
        variance=groups / (groups - 1) * (residuals**2).sum(0) / total**2,
        robust=(groups - 1) / groups * (left_out**2).sum(0) / total**2,
        freedom=_freedom(left_out),
        constant=(np.abs(residuals) <= SAME_SCORE * data.counts).all(0),
    )


def join_fits(fits: Sequence[ClusterFit]) -> ClusterFit:
    """Return the columns of fits over equally many clusters as one fit."""
    return ClusterFit(
        **{
            field.name: np.concatenate([getattr(fit, field.name) for fit in fits], axis=-1)
            for field in fields(ClusterFit)
        }
    )


def steadied_variance(fit: ClusterFit) -> Doubles:
    """Return the variance (k,) of the mean: CR3, pulled towards a model where sizes are unequal.

    The model: residuals² grow with cluster size n as a n + b n², where a is the items' own
    variance and b what items of one cluster share, both at least 0.
    """
    # Where few clusters hold most items, CR3 is little more than the squares of their residuals:
    # when none of the large ones happens to be wrong it is far too small, and its interval covers
    # 90%. The small clusters also show how residuals grow with size.
    sizes = fit.counts
    inverse, squares = 1.0 / sizes, (fit.left_out / sizes) ** 2
    own, shared = _fit_line(inverse, squares, np.ones_like(sizes))
    for _ in range(ROUNDS):
        # A square varies with its own expectation squared, so each weighs by the inverse of that.
        expected = np.maximum(own, NO_SPREAD) * inverse + shared
        own, shared = _fit_line(inverse, squares, expected**-2)
    groups = fit.clusters
    both = own * fit.total + shared * (sizes**2).sum(0)
    modelled = (groups - 1) / groups * both / fit.total**2
    # The model's share is what clusters lose by being unequal: nothing where sizes are equal.
    equal = fit.effective / fit.clusters
    steadied: Doubles = equal * fit.robust + (1.0 - equal) * modelled
    return steadied


def _fit_line(x: Doubles, y: Doubles, weights: Doubles) -> tuple[Doubles, Doubles]:
    """Return slope and intercept (k,), (k,) ≥ 0 of y (G, k) on x (G, k) by weighted squares."""
    total = weights.sum(0)
    mean_x, mean_y = (weights * x).sum(0) / total, (weights * y).sum(0) / total
    across = (weights * (x - mean_x) ** 2).sum(0)
    along = (weights * (x - mean_x) * (y - mean_y)).sum(0)
    spread = across > NO_SPREAD * total
    slope = np.maximum(np.divide(along, across, out=np.zeros_like(along), where=spread), 0.0)
    intercept = mean_y - slope * mean_x
    # A negative intercept would be a negative variance: the best line without one is taken.
    through_zero = (weights * x * y).sum(0) / (weights * x**2).sum(0)
    below = intercept < 0
    return np.where(below, through_zero, slope), np.where(below, 0.0, intercept)


def _freedom(residuals: Doubles) -> Doubles:
    """Return degrees of freedom (k,) of a sum of squares, by Satterthwaite (1946), at most G - 1.

    They are 2 E² / Var, the variance of the sum of squares estimated from fourth powers.
    """
    # A few clusters that are wrong as a whole make the variance estimate itself uncertain; G - 1
    # alone would then give intervals that cover 85% instead of 95%.
    groups = len(residuals)
    squares, fourths = (residuals**2).sum(0), (residuals**4).sum(0)
    share = np.divide(fourths, squares**2, out=np.ones_like(squares), where=squares > 0)
    estimated = 2.0 / np.maximum(share - 1.0 / groups, 2.0 / (groups - 1))
    # With less than 2, Student's t is so wide that the interval would say nothing.
    freedom: Doubles = np.minimum(np.maximum(estimated, 2.0), groups - 1.0)
    return freedom
