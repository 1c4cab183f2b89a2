"""The variance of a mean over clusters of unequal size, where a few of them hold most items."""

from __future__ import annotations

from typing import Final

import numpy as np

from evaluation.statistics.cluster_variance import ClusterFit
from medsift.arrays import Doubles

ROUNDS: Final = 2
"""Fits with weights of the last fit, after one without."""
_NOTHING: Final = 1e-12


def steadied_variance(fit: ClusterFit) -> Doubles:
    """Variance (k,) of the mean: CR3, drawn towards a model of it as far as sizes are unequal.

    Where few clusters hold most items, CR3 is little more than the squares of their residuals:
    when none of the large ones happens to be wrong it is far too small, and its interval covers
    90%. The small ones tell too how residuals grow with size. The model's share is one less the
    effective share of clusters (Kish 1965, section 8.2): nothing where sizes are equal.
    """
    equal = fit.effective / fit.clusters
    found: Doubles = equal * fit.robust + (1.0 - equal) * _modelled(fit)
    return found


def _modelled(fit: ClusterFit) -> Doubles:
    """Variance (k,) of the mean if residuals² grow with cluster size n as a n + b n².

    a is the items' own variance, b what items of one cluster share; both are at least 0, and
    fitted to the residuals of leaving one out, each weighted by what it is worth.
    """
    sizes = fit.counts
    inverse, squares = 1.0 / sizes, (fit.left_out / sizes) ** 2
    own, shared = _line(inverse, squares, np.ones_like(sizes))
    for _ in range(ROUNDS):
        expected = np.maximum(own, _NOTHING) * inverse + shared
        own, shared = _line(inverse, squares, expected**-2)
    groups = fit.clusters
    both = own * fit.total + shared * (sizes**2).sum(0)
    found: Doubles = (groups - 1) / groups * both / fit.total**2
    return found


def _line(x: Doubles, y: Doubles, weights: Doubles) -> tuple[Doubles, Doubles]:
    """Slope and intercept (k,), (k,) ≥ 0 of y (G, k) on x (G, k) by weighted least squares."""
    whole = weights.sum(0)
    mean_x, mean_y = (weights * x).sum(0) / whole, (weights * y).sum(0) / whole
    across = (weights * (x - mean_x) ** 2).sum(0)
    along = (weights * (x - mean_x) * (y - mean_y)).sum(0)
    spread = across > _NOTHING * whole
    slope = np.maximum(np.divide(along, across, out=np.zeros_like(along), where=spread), 0.0)
    intercept = mean_y - slope * mean_x
    through_zero = (weights * x * y).sum(0) / (weights * x**2).sum(0)
    below = intercept < 0
    return np.where(below, through_zero, slope), np.where(below, 0.0, intercept)
