"""Intervals from few clusters, or a few that hold most items: resampled, they promise too much."""

from __future__ import annotations

from typing import Final

import numpy as np

from evaluation.statistics.cluster_variance import ClusterFit
from evaluation.statistics.unequal_clusters import steadied_variance
from medsift.arrays import Doubles

Bounds = tuple[float, float]
Ends = tuple[Doubles, Doubles]

FEW_CLUSTERS: Final = 64


def too_few(fit: ClusterFit) -> bool:
    """Whether resampling would promise too much: fewer than 64 effective clusters, or uneven ones.

    All columns must have equally many items in each cluster.
    """
    return float(fit.effective[0]) < FEW_CLUSTERS or uneven(fit)


def uneven(fit: ClusterFit) -> bool:
    """Whether a few clusters hold most items: less than half of them are effective."""
    return float(fit.effective[0]) < fit.clusters / 2


def score_interval(fit: ClusterFit, bounds: Bounds, level: float) -> Ends:
    """Wilson's interval (k,), (k,) with the effective sample size and Student's t.

    Scores are brought to [0, 1]; the sample size is the one at which independent scores would
    have the variance of these clusters: value (1 - value) / variance (Wilson 1927; for clustered
    samples Dean & Pagano 2015, with t of the fit's degrees of freedom).
    """
    bottom, width = bounds[0], bounds[1] - bounds[0]
    share = (fit.value - bottom) / width
    spread = np.where(fit.constant, 1.0, share * (1.0 - share))
    square = t_quantile(fit.freedom, level) ** 2
    # k = t² / effective sample size
    k = square * steadied_variance(fit) / width**2 / spread
    centre = (share + k / 2) / (1 + k)
    half = np.sqrt(k * spread + k**2 / 4) / (1 + k)
    return bottom + width * (centre - half), bottom + width * (centre + half)


def unvaried_interval(value: Doubles, clusters: int, bounds: Bounds, level: float) -> Ends:
    """Exact ends (k,), (k,) where no cluster differs from the others, so that no variance shows.

    Of G clusters that agree, a share of up to 1 - ((1 - level) / 2)^(1/G) of all clusters may
    still differ (Clopper & Pearson 1934); the ends let those be at the bounds.
    """
    share = 1.0 - ((1.0 - level) / 2) ** (1.0 / clusters)
    return value - share * (value - bounds[0]), value + share * (bounds[1] - value)


def t_quantile(freedom: Doubles, level: float) -> Doubles:
    """Student's t (k,) that holds the central `level`."""
    from scipy.special import stdtrit  # type: ignore[import-untyped]

    found: Doubles = stdtrit(freedom, (1.0 + level) / 2)
    return found
