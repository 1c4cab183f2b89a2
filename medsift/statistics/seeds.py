"""Count seeds as a source of variance: what another run of the same training would have given."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from medsift.errors import UsageError
from medsift.statistics.bootstrap import Resampling, pool_clusters, resampled_variance
from medsift.statistics.cluster_variance import ClusterFit, fit_clusters, steadied_variance
from medsift.statistics.clusters import ClusterSums, number_clusters, sum_clusters
from medsift.statistics.interval import (
    DIGITS,
    LEVEL,
    SHARE,
    Estimate,
    Ids,
    check_scores,
    estimate,
)
from medsift.statistics.score_interval import Bounds, t_quantile, uneven

FEW_FOR_STUDENT: Final = 50


class Part(NamedTuple):
    """A variance that adds to others, and its degrees of freedom."""

    variance: float
    freedom: float


def cluster_part(fit: ClusterFit, resampling: Resampling) -> Part:
    """Return the part of the clusters in the variance of a mean: bootstrap, or steadied CR3."""
    # Steadied CR3 is for few and for uneven clusters. Elsewhere it would be too wide: from 63
    # clusters as in VQA-RAD it covers 97.4% where the bootstrap covers 95%.
    if fit.clusters < FEW_FOR_STUDENT or uneven(fit):
        return Part(float(steadied_variance(fit)[0]), float(fit.freedom[0]))
    return Part(float(resampled_variance(fit, resampling)[0]), fit.clusters - 1.0)


def seed_part(arm: ClusterSums) -> Part:
    """Return what seeds (G, s) add to the variance of a mean beyond the part of the clusters."""
    groups, seeds = arm.sums.shape
    if seeds == 1:
        return Part(0.0, 0.0)
    means = arm.sums.sum(0) / arm.counts.sum(0)
    # The runs' means differ by seed and by each run's own errors on items. The latter are part of
    # the variance over clusters of the averaged scores already, and are subtracted (Cameron,
    # Gelbach & Miller 2011, equation 2.10, for two crossed ways).
    own = arm.sums - arm.sums.mean(1, keepdims=True) - (means - means.mean()) * arm.counts
    errors = (own**2).sum() / arm.counts[:, 0].sum() ** 2 / seeds
    errors *= groups / (groups - 1) / (seeds - 1)
    # By chance the means may differ less than their errors say: no variance is negative.
    return Part(max(0.0, float(means.var(ddof=1) / seeds - errors)), seeds - 1.0)


def half_width(clusters: Part, seeds: Sequence[Part] = ()) -> float:
    """Return half an interval: the root of the squared half widths over clusters and over seeds."""
    parts = [clusters]
    varied = [part for part in seeds if part.variance > 0]
    if varied:
        # The seeds of several arms add up, with (sum v)² / sum (v²/f) degrees of freedom
        # (Satterthwaite 1946).
        total = sum(part.variance for part in varied)
        weight = sum(part.variance**2 / part.freedom for part in varied)
        parts.append(Part(total, total**2 / weight))
    # Each part has its own t (Zou & Donner 2008, with no covariance). One t for the whole sum
    # covers 93% where three seeds differ as much as pictures do, this 95 to 97%.
    t = t_quantile(np.array([part.freedom for part in parts]), LEVEL)
    return sqrt(sum(part.variance * float(t[k]) ** 2 for k, part in enumerate(parts)))


def averaged(arm: ClusterSums) -> ClusterSums:
    """Return the sums (G, 1) of the scores averaged over seeds (G, s)."""
    return ClusterSums(arm.sums.mean(1, keepdims=True), arm.counts[:, :1])


def seeded_interval(
    runs: ArrayLike, clusters: Ids, resampling: Resampling | None = None, bounds: Bounds = SHARE
) -> Estimate:
    """Return the mean score of several runs on the same items, its interval over items and seeds.

    Args:
        runs: scores (s, n) of s runs; one run gives what `interval` gives.
        clusters: the cluster (n,) of each item.
        resampling: draws and seed of the bootstrap.
        bounds: lowest and highest score.

    Raises:
        UsageError: other lengths, missing scores or scores outside `bounds`.
    """
    codes = number_clusters(clusters)
    scores = np.atleast_2d(np.asarray(runs, np.float64))
    for run in scores:
        check_scores("a run's score", run, len(codes), bounds)
    if missing := int(np.isnan(scores).sum()):
        raise UsageError(
            f"runs lack {missing:,} scores; every run must be scored on every item",
            code="statistic_input_invalid",
            missing=missing,
        )
    arm, draws = sum_clusters(scores.T, codes), resampling or Resampling()
    [plain] = estimate(averaged(arm), draws, bounds)
    if plain.value is None or plain.low is None or plain.high is None or len(scores) == 1:
        return plain
    items = cluster_part(fit_clusters(pool_clusters(averaged(arm))), draws)
    alone, both = half_width(items), half_width(items, [seed_part(arm)])
    # The interval of the averaged scores is stretched as seeds widen Student's: so it keeps its
    # lean. Runs that differ where no cluster does leave no width to stretch.
    below, above = (
        reach * both / alone if alone else max(reach, both)
        for reach in (plain.value - plain.low, plain.high - plain.value)
    )
    low = round(max(plain.value - below, bounds[0]), DIGITS)
    high = round(min(plain.value + above, bounds[1]), DIGITS)
    return Estimate(plain.value, low, high, plain.n, plain.clusters)
