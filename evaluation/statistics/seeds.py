"""Seeds as a source of variance: what another run of the same training would have given."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from evaluation.statistics.bootstrap import Resampling, pool_clusters, resampled_variance
from evaluation.statistics.cluster_variance import ClusterFit, fit_clusters
from evaluation.statistics.clusters import ClusterSums, number_clusters, sum_clusters
from evaluation.statistics.interval import (
    DIGITS,
    LEVEL,
    SHARE,
    Estimate,
    Ids,
    check_scores,
    estimate,
)
from evaluation.statistics.score_interval import Bounds, t_quantile, uneven
from evaluation.statistics.unequal_clusters import steadied_variance
from medsift.errors import UsageError

FEW_FOR_STUDENT: Final = 50


class Part(NamedTuple):
    """A variance that adds to others, and its degrees of freedom."""

    variance: float
    freedom: float


def cluster_part(fit: ClusterFit, resampling: Resampling) -> Part:
    """The part of the clusters in the variance of a mean: bootstrap, or steadied CR3.

    The latter below 50 clusters and for uneven ones. Elsewhere it would be too wide: from 63
    clusters as in VQA-RAD it covers 97.4% where the bootstrap covers 95%.
    """
    if fit.clusters < FEW_FOR_STUDENT or uneven(fit):
        return Part(float(steadied_variance(fit)[0]), float(fit.freedom[0]))
    return Part(float(resampled_variance(fit, resampling)[0]), fit.clusters - 1.0)


def seed_part(arm: ClusterSums) -> Part:
    """The part of the seeds (G, s) in it, beyond what that of the clusters holds already.

    The runs' means differ by seed and by each run's own errors on items. The latter are part of
    the variance over clusters of the averaged scores, and are taken off (Cameron, Gelbach &
    Miller 2011, equation 2.10, for two crossed ways).
    """
    groups, seeds = arm.sums.shape
    if seeds == 1:
        return Part(0.0, 0.0)
    means = arm.sums.sum(0) / arm.counts.sum(0)
    own = arm.sums - arm.sums.mean(1, keepdims=True) - (means - means.mean()) * arm.counts
    errors = (own**2).sum() / arm.counts[:, 0].sum() ** 2 / seeds
    errors *= groups / (groups - 1) / (seeds - 1)
    return Part(max(0.0, float(means.var(ddof=1) / seeds - errors)), seeds - 1.0)


def half_width(clusters: Part, seeds: Sequence[Part] = ()) -> float:
    """Half an interval: the root of the squared half widths over clusters and over seeds.

    Either is t standard errors (Zou & Donner 2008, with no covariance). The seeds of several arms
    add up, with (sum v)² / sum (v²/f) degrees of freedom (Satterthwaite 1946). One t for the whole
    sum covers 93% where three seeds differ as much as pictures do, this 95 to 97%.
    """
    held = [part for part in seeds if part.variance > 0]
    total = sum(part.variance for part in held)
    parts = [clusters]
    if held:
        parts.append(Part(total, total**2 / sum(one.variance**2 / one.freedom for one in held)))
    return sqrt(sum(part.variance * _t(part.freedom) ** 2 for part in parts))


def _t(freedom: float) -> float:
    return float(t_quantile(np.array([freedom]), LEVEL)[0])


def averaged(arm: ClusterSums) -> ClusterSums:
    """Sums (G, 1) of the scores averaged over seeds (G, s)."""
    return ClusterSums(arm.sums.mean(1, keepdims=True), arm.counts[:, :1])


def seeded_interval(
    runs: ArrayLike, clusters: Ids, resampling: Resampling | None = None, bounds: Bounds = SHARE
) -> Estimate:
    """Mean of the scores (s, n) of s runs on the same items, its interval over items and seeds.

    One run gives what `interval` gives. Of several, the interval of the averaged scores is as
    many times wider as the seeds' variance makes Student's, so that it keeps its lean.

    Raises UsageError for other lengths, missing scores or scores outside `bounds`.
    """
    codes = number_clusters(clusters)
    scores = np.atleast_2d(np.asarray(runs, np.float64))
    for run in scores:
        check_scores("a run's score", run, len(codes), bounds)
    if np.isnan(scores).any():
        raise UsageError(
            "a run lacks scores; every run must be scored on every item",
            code="statistic_input_invalid",
        )
    arm, draws = sum_clusters(scores.T, codes), resampling or Resampling()
    [plain] = estimate(averaged(arm), draws, bounds)
    if plain.low is None or len(scores) == 1:
        return plain
    fit = fit_clusters(pool_clusters(averaged(arm)))
    items = cluster_part(fit, draws)
    return _widened(plain, half_width(items), half_width(items, [seed_part(arm)]), bounds)


def _widened(plain: Estimate, alone: float, both: float, bounds: Bounds) -> Estimate:
    """The interval, stretched as Student's half widths without and with the seeds are apart."""
    value, low, high = (end or 0.0 for end in (plain.value, plain.low, plain.high))
    # Runs that differ where no cluster does leave no width to stretch.
    below, above = (
        reach * both / alone if alone else max(reach, both) for reach in (value - low, high - value)
    )
    return Estimate(
        plain.value,
        round(max(value - below, bounds[0]), DIGITS),
        round(min(value + above, bounds[1]), DIGITS),
        plain.n,
        plain.clusters,
    )
