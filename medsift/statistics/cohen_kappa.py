"""Measure how far two raters who say yes or no agree beyond chance (Cohen 1960).

The interval draws the clusters of the rows again, as everywhere: questions on one picture are not
independent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from medsift.arrays import Doubles
from medsift.errors import UsageError
from medsift.statistics.bootstrap import Resampling
from medsift.statistics.clusters import number_clusters, sum_clusters
from medsift.statistics.interval import Ids

DRAWS_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class Kappa:
    """Cohen's kappa with its 95% interval, and the share of rows on which both raters agree.

    Kappa is None where a rater says the same of every row: agreement by chance is then complete.
    """

    rows: int
    clusters: int
    agreement: float
    value: float | None
    low: float | None
    high: float | None


def cohen_kappa(
    first: ArrayLike, second: ArrayLike, clusters: Ids, resampling: Resampling | None = None
) -> Kappa:
    """Return how far two raters agree.

    Args:
        first: what one says (n,), true or false.
        second: what the other says (n,).
        clusters: the cluster (n,) of each row.
        resampling: draws and seed of the percentile bootstrap.

    Raises:
        UsageError: no row, or raters of different lengths.
    """
    said = [np.asarray(one, bool) for one in (first, second)]
    if said[0].shape != said[1].shape or said[0].ndim != 1 or not len(said[0]):
        raise UsageError(
            f"two raters of shapes {said[0].shape} and {said[1].shape}; give one word of each for "
            "each of the same rows",
            code="statistic_input_invalid",
            shapes=[list(one.shape) for one in said],
        )
    draws = resampling or Resampling()
    codes = number_clusters(clusters)
    cells = np.stack(
        [said[0] & said[1], said[0] & ~said[1], ~said[0] & said[1], ~said[0] & ~said[1]], axis=1
    )
    sums = sum_clusters(cells.astype(np.float64), codes).sums
    total = sums.sum(axis=0, keepdims=True)
    rng = np.random.default_rng(draws.seed)
    width = len(sums)
    drawn = [
        _kappa(rng.multinomial(width, np.full(width, 1.0 / width), size=size) @ sums)
        for start in range(0, draws.draws, DRAWS_AT_ONCE)
        if (size := min(DRAWS_AT_ONCE, draws.draws - start))
    ]
    value = float(_kappa(total)[0])
    agreement = float((total[0, 0] + total[0, 3]) / total.sum())
    if np.isnan(value):
        return Kappa(len(said[0]), width, agreement, None, None, None)
    # A resample in which a rater says one thing of all shows no agreement beyond chance.
    low, high = np.quantile(np.nan_to_num(np.concatenate(drawn), nan=0.0), [0.025, 0.975])
    return Kappa(len(said[0]), width, agreement, value, float(low), float(high))


def _kappa(counts: Doubles) -> Doubles:
    """Return kappa (b,) of tables (b, 4): both, the first alone, the second alone, neither."""
    shares = counts / counts.sum(axis=1, keepdims=True)
    first, second = shares[:, 0] + shares[:, 1], shares[:, 0] + shares[:, 2]
    chance = first * second + (1 - first) * (1 - second)
    constant = np.minimum(first * (1 - first), second * (1 - second)) <= 0
    kappa: Doubles = np.divide(
        shares[:, 0] + shares[:, 3] - chance,
        1 - chance,
        out=np.full(len(counts), np.nan),
        where=~constant & (chance < 1),
    )
    return kappa
