"""The mean of clustered scores, its variance, and what the variance itself is worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from evaluation.statistics.clusters import ClusterSums
from medsift.arrays import Doubles

_NOTHING = 1e-9


@dataclass(frozen=True, slots=True)
class ClusterFit:
    """k means over G ≥ 2 clusters of unequal size: ratios of sums, so every item counts once.

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
        """G."""
        return len(self.counts)

    @property
    def effective(self) -> Doubles:
        """How many clusters of equal size (k,) are worth as much, at most G (Kish 1965, 8.2)."""
        found: Doubles = self.total**2 / (self.counts**2).sum(0)
        return found


def fit_clusters(data: ClusterSums) -> ClusterFit:
    """Fit every column; each cluster must hold scores of each column, and G be at least 2."""
    groups, total = len(data.sums), data.counts.sum(0)
    value = data.sums.sum(0) / total
    residuals = data.sums - value * data.counts
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
        constant=(np.abs(residuals) <= _NOTHING * data.counts).all(0),
    )


def join_fits(fits: Sequence[ClusterFit]) -> ClusterFit:
    """The columns of fits over equally many clusters, side by side."""
    parts = {
        field.name: np.concatenate([getattr(fit, field.name) for fit in fits], axis=-1)
        for field in fields(ClusterFit)
    }
    return ClusterFit(**parts)


def _freedom(residuals: Doubles) -> Doubles:
    """Degrees of freedom (k,) of a sum of squares, by Satterthwaite (1946), at most G - 1.

    2 E² / Var, where the variance of a sum of squares is estimated from their fourth powers. A
    few clusters that are wrong as a whole make the variance estimate itself uncertain; G - 1
    alone would then give intervals that cover 85% instead of 95%.
    """
    groups = len(residuals)
    squares, fourths = (residuals**2).sum(0), (residuals**4).sum(0)
    share = np.divide(fourths, squares**2, out=np.ones_like(squares), where=squares > 0)
    estimated = 2.0 / np.maximum(share - 1.0 / groups, 2.0 / (groups - 1))
    found: Doubles = np.minimum(np.maximum(estimated, 2.0), groups - 1.0)
    return found
