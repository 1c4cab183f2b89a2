"""The bootstrap over clusters: whole pictures are drawn again, with all their questions.

Resamples are the same for every column and every model, so that what columns share cancels in
their differences. They depend on the seed and the number of clusters alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from evaluation.statistics.cluster_variance import ClusterFit, join_fits
from evaluation.statistics.clusters import ClusterSums
from medsift.arrays import Doubles
from medsift.config import Config

Ends = tuple[Doubles, Doubles]

GROUPS: Final = 2048
TOGETHER: Final = 32
"""Fits of equally many clusters that one multiplication resamples."""
AT_A_TIME: Final = 64
"""Resamples drawn at once."""
STEADYING: Final = 0.12
"""Share of the observed variance in a resample's own; see `studentized_ends`."""


class Resampling(Config):
    """How often clusters are drawn again, from which seed, and how many draws at a time."""

    draws: int = Field(default=1999, ge=199)
    seed: int = Field(default=0, ge=0)
    chunk: int = Field(default=256, ge=1)


def pool_clusters(data: ClusterSums) -> ClusterSums:
    """At most 2,048 groups of clusters, each cluster in one of them by its hash.

    The groups are as independent as the clusters were, so their variance estimates the same; with
    2,048 of them it is within 3%, nearer than 1,999 draws come.
    """
    groups = len(data.sums)
    if groups <= GROUPS:
        return data
    starts = np.arange(GROUPS) * groups // GROUPS
    return ClusterSums(
        np.add.reduceat(data.sums, starts, axis=0), np.add.reduceat(data.counts, starts, axis=0)
    )


def studentized_ends(fit: ClusterFit, resampling: Resampling, level: float) -> Ends:
    """Bootstrap-t ends (k,), (k,) of an interval (Efron & Tibshirani 1993, section 12.5).

    Each resample's distance from the mean is divided by its own standard error, then scaled by
    the observed one (CR3). A resample that happens to hold no wrong answer has no variance at
    all; to keep its quotient finite, a share of the observed variance stands in for as much of
    its own. Over simulated sets of 63 clusters and rare wrong answers, none of it covers 95 to
    98%, this share 94 to 97%, and all of it 85 to 93%.
    """
    spread = STEADYING * fit.variance
    quotients = [
        shift / np.sqrt((1 - STEADYING) * variance + spread)
        for shift, variance in _resamples(fit, resampling)
    ]
    ordered = np.sort(np.concatenate(quotients), axis=0)
    tail = max(1, round((resampling.draws + 1) * (1 - level) / 2))
    error = np.sqrt(fit.robust)
    return fit.value - ordered[-tail] * error, fit.value - ordered[tail - 1] * error


def all_studentized_ends(
    fits: Sequence[ClusterFit], resampling: Resampling, level: float
) -> list[Ends]:
    """`studentized_ends` of each fit: those over equally many clusters are resampled together."""
    of_size: dict[int, list[int]] = defaultdict(list)
    for place, fit in enumerate(fits):
        of_size[fit.clusters].append(place)
    found: dict[int, Ends] = {}
    for places in of_size.values():
        for start in range(0, len(places), TOGETHER):
            some = places[start : start + TOGETHER]
            alike = [fits[place] for place in some]
            cuts = np.cumsum([len(fit.value) for fit in alike])[:-1]
            both = studentized_ends(join_fits(alike), resampling, level)
            found |= zip(
                some, zip(*(np.split(end, cuts) for end in both), strict=True), strict=True
            )
    return [found[place] for place in range(len(fits))]


def resampled_variance(fit: ClusterFit, resampling: Resampling) -> Doubles:
    """Variance (k,) of the mean over the resamples, put right for how few clusters they draw from.

    Resamples vary by (G-1)/G too little, and by what CR3 adds to CR1 where sizes are unequal.
    """
    shifts = np.concatenate([shift for shift, _ in _resamples(fit, resampling)])
    plain = (shifts**2).mean(0) * fit.clusters / (fit.clusters - 1)
    lack = np.divide(fit.robust, fit.variance, out=np.ones_like(plain), where=fit.variance > 0)
    found: Doubles = plain * lack
    return found


def resample_counts(clusters: int, draws: int, seed: int) -> NDArray[np.uint8]:
    """How often each cluster is drawn in each resample (draws, clusters); rows sum to clusters.

    Raises ValueError above 2,048 clusters: pool them first.
    """
    if clusters > GROUPS:
        raise ValueError(f"{clusters} clusters; at most {GROUPS}: use pool_clusters first")
    return _drawn(clusters, draws, seed)


@lru_cache(maxsize=4)
def _drawn(clusters: int, draws: int, seed: int) -> NDArray[np.uint8]:
    rng = np.random.default_rng((seed, clusters))
    counts = np.empty((draws, clusters), np.uint8)
    for start in range(0, draws, AT_A_TIME):
        part = counts[start : start + AT_A_TIME]
        rows = np.arange(len(part))[:, None] * clusters
        drawn = rng.integers(0, clusters, part.shape) + rows
        part[:] = np.bincount(drawn.ravel(), minlength=part.size).reshape(part.shape)
    counts.flags.writeable = False
    return counts


def _resamples(fit: ClusterFit, resampling: Resampling) -> Iterator[Ends]:
    """Blocks of resamples: distance from the mean (b, k), and its linearised variance (b, k)."""
    counts = resample_counts(fit.clusters, resampling.draws, resampling.seed)
    parts = (fit.residuals, fit.counts, fit.residuals**2, fit.residuals * fit.counts, fit.counts**2)
    beside = np.concatenate(parts, axis=1)
    for start in range(0, len(counts), resampling.chunk):
        weights = counts[start : start + resampling.chunk].astype(np.float64)
        moved, size, square, cross, sizes = np.split(weights @ beside, len(parts), axis=1)
        shift = moved / size
        variance = (square - 2 * shift * cross + shift**2 * sizes) / size**2
        scale = fit.clusters / (fit.clusters - 1)
        yield shift, scale * np.maximum(variance, 0.0)
