"""Intervals from few clusters, or a few that have most items: there a bootstrap promises too much.

Here are Wilson's interval for clustered scores, and the exact one for clusters that all agree.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from medsift.arrays import Doubles
from medsift.statistics.cluster_variance import ClusterFit, steadied_variance

Bounds = tuple[float, float]
Ends = tuple[Doubles, Doubles]

# From here on a bootstrap-t covers 93 to 97% of simulated sets (benchmarks/intervals.py).
FEW_CLUSTERS: Final = 64


def too_few(fit: ClusterFit) -> bool:
    """Return whether resampling promises too much: below 64 effective clusters, or uneven ones.

    All columns must have equally many items in each cluster.
    """
    return float(fit.effective[0]) < FEW_CLUSTERS or uneven(fit)


def uneven(fit: ClusterFit) -> bool:
    """Return whether a few clusters have most items: less than half of them are effective."""
    return float(fit.effective[0]) < fit.clusters / 2


def score_interval(fit: ClusterFit, bounds: Bounds, level: float) -> Ends:
    """Return Wilson's interval (k,), (k,) with the effective sample size and Student's t.

    The sample size is the one at which independent scores would have the variance of these
    clusters: value (1 - value) / variance (Wilson 1927; for clustered samples Dean & Pagano 2015,
    with t of the fit's degrees of freedom).
    """
    # The formula is for shares: scores are brought to [0, 1], and the ends back.
    bottom, width = bounds[0], bounds[1] - bounds[0]
    share = (fit.value - bottom) / width
    # Clusters that all agree have no spread to divide by; `unvaried_interval` replaces their ends.
    spread = np.where(fit.constant, 1.0, share * (1.0 - share))
    square = t_quantile(fit.freedom, level) ** 2
    # k = t² / effective sample size
    k = square * steadied_variance(fit) / width**2 / spread
    centre = (share + k / 2) / (1 + k)
    half = np.sqrt(k * spread + k**2 / 4) / (1 + k)
    return bottom + width * (centre - half), bottom + width * (centre + half)


def unvaried_interval(value: Doubles, clusters: int, bounds: Bounds, level: float) -> Ends:
    """Return exact ends (k,), (k,) where all clusters agree, so that no variance shows.

    Args:
        value: mean of each column (k,).
        clusters: number G of clusters that agree.
        bounds: lowest and highest score.
        level: share of intervals that are to cover the truth.
    """
    # Of G clusters that agree, a share of up to 1 - ((1 - level) / 2)^(1/G) of all clusters may
    # still differ (Clopper & Pearson 1934); the ends let those be at the bounds.
    share = 1.0 - ((1.0 - level) / 2) ** (1.0 / clusters)
    return value - share * (value - bounds[0]), value + share * (bounds[1] - value)


def t_quantile(freedom: Doubles, level: float) -> Doubles:
    """Return the value of Student's t (k,) with the central `level` of its mass within ±t."""
    from scipy.special import stdtrit  # type: ignore[import-untyped]

    quantile: Doubles = stdtrit(freedom, (1.0 + level) / 2)
    return quantile
