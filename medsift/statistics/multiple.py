"""Test one run of two models on the same items, and adjust for many such tests."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from medsift.arrays import Doubles
from medsift.statistics.bootstrap import Resampling, pool_clusters
from medsift.statistics.cluster_variance import fit_clusters
from medsift.statistics.clusters import ClusterSums, number_clusters, sum_clusters
from medsift.statistics.interval import Ids
from medsift.statistics.seeds import cluster_part


def paired_p(
    first: ArrayLike, second: ArrayLike, clusters: Ids, resampling: Resampling | None = None
) -> float:
    """Return the two-sided p of the difference of scores (n,), (n,) being 0, by Student's t.

    The standard error over clusters is that of `difference`. With one cluster, or without any
    difference, p is 1; where all clusters differ alike, it is that of their signs.
    """
    from scipy.special import stdtr  # type: ignore[import-untyped]

    codes = number_clusters(clusters)
    gap = np.asarray(first, np.float64) - np.asarray(second, np.float64)
    if not len(gap) or not gap.any():
        return 1.0
    sums = sum_clusters(gap[:, None], codes)
    groups = len(sums.sums)
    if groups < 2:
        return 1.0
    fit = fit_clusters(pool_clusters(ClusterSums(sums.sums, sums.counts)))
    part = cluster_part(fit, resampling or Resampling())
    if fit.constant[0] or part.variance <= 0.0:
        return float(2.0 ** (1 - groups))
    t = abs(float(fit.value[0])) / part.variance**0.5
    return float(min(1.0, 2.0 * stdtr(part.freedom, -t)))


def holm(p: ArrayLike) -> Doubles:
    """Return p-values (k,) adjusted for k tests, so that no false claim is made in 95 of 100.

    Holm 1979, "A simple sequentially rejective multiple test procedure": the i-th smallest of k is
    multiplied by k - i + 1, never less than a smaller one and at most 1.
    """
    values = np.asarray(p, np.float64)
    order = np.argsort(values, kind="stable")
    scaled = values[order] * np.arange(len(values), 0, -1)
    adjusted = np.empty(len(values))
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1.0) if len(values) else scaled
    return adjusted
