"""Measure how far apart two models are on the same items, with the error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from medsift.errors import UsageError
from medsift.statistics.bootstrap import Resampling, pool_clusters
from medsift.statistics.cluster_variance import fit_clusters
from medsift.statistics.clusters import ClusterSums, number_clusters, sum_clusters
from medsift.statistics.interval import DIGITS, LEVEL, SHARE, Ids, check_scores, remark
from medsift.statistics.score_interval import unvaried_interval
from medsift.statistics.seeds import averaged, cluster_part, half_width, seed_part


@dataclass(frozen=True, slots=True)
class Difference:
    """Mean of the first model less that of the second, with its 95% interval.

    `value` and ends are None where there is nothing to compare or one cluster only; `seeds` are
    the runs of the first and of the second.
    """

    first: float | None
    second: float | None
    value: float | None
    low: float | None
    high: float | None
    n: int
    clusters: int
    seeds: tuple[int, int]

    @property
    def note(self) -> str | None:
        """Return what a reader must know about the interval, if anything."""
        return remark(self.n, self.clusters)


def difference(
    first: ArrayLike, second: ArrayLike, clusters: Ids, resampling: Resampling | None = None
) -> Difference:
    """Compare scores of two models on the same items in one order.

    Clusters are resampled for both models at once, so that what makes a picture hard for both
    cancels. From one run of each, the interval is about these two models; what another seed would
    have given is in it only where several seeds are.

    The interval is Student's, its half width the root of two squares: t standard errors over
    clusters, whose variance comes from the bootstrap (see `cluster_part` for few or uneven
    clusters), and t standard errors over seeds, from the runs' means, each arm's own.

    Args:
        first: scores (n,), or (s, n) of s seeds, in [0, 1].
        second: the same of the other model; it may have another number of seeds.
        clusters: the cluster (n,) of each item.
        resampling: draws and seed of the bootstrap.

    Raises:
        UsageError: other lengths, a missing score (NaN) or one outside [0, 1].
    """
    codes = number_clusters(clusters)
    arms = [np.atleast_2d(np.asarray(arm, np.float64)) for arm in (first, second)]
    for name, arm in zip(("first", "second"), arms, strict=True):
        for run in arm:
            check_scores(f"the {name} model's score", run, len(codes), SHARE)
        # An item that one model has no score for cannot be paired.
        if missing := int(np.isnan(arm).any(0).sum()):
            raise UsageError(
                f"the {name} model lacks {missing:,} of {len(codes):,} scores; both models must be "
                "scored on every item compared",
                code="models_not_comparable",
                model=name,
                missing=missing,
            )
    seeds = (len(arms[0]), len(arms[1]))
    if len(codes) == 0:
        return Difference(None, None, None, None, None, 0, 0, seeds)
    sums = [sum_clusters(arm.T, codes) for arm in arms]
    means = [float(arm.sums.sum() / arm.counts.sum()) for arm in sums]
    value, groups = means[0] - means[1], len(sums[0].sums)
    low, high = _ends(sums, resampling or Resampling()) if groups > 1 else (None, None)
    return Difference(means[0], means[1], value, low, high, len(codes), groups, seeds)


def _ends(arms: list[ClusterSums], resampling: Resampling) -> tuple[float, float]:
    means = [averaged(arm) for arm in arms]
    data = ClusterSums(means[0].sums - means[1].sums, means[0].counts)
    fit = fit_clusters(pool_clusters(data))
    bounds = (SHARE[0] - SHARE[1], SHARE[1] - SHARE[0])
    # Seeds enter by their variance: a handful of them cannot be resampled. Three drawn again
    # show two thirds of their variance, and no tails.
    half = half_width(cluster_part(fit, resampling), [seed_part(arm) for arm in arms])
    low, high = float(fit.value[0]) - half, float(fit.value[0]) + half
    if fit.constant[0]:
        # Clusters that all agree show no variance: the exact ends, or wider ones from seeds.
        sure = unvaried_interval(fit.value, len(data.sums), bounds, LEVEL)
        low, high = min(low, float(sure[0][0])), max(high, float(sure[1][0]))
    return round(max(low, bounds[0]), DIGITS), round(min(high, bounds[1]), DIGITS)
