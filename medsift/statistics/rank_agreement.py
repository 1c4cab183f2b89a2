"""Measure whether two ways of scoring put the same cells (arms at budgets) in the same order.

Both coefficients come from the signs of the differences between any two cells x_i - x_j. Spearman's
rho is the correlation of mid-ranks, which are half the row sums of the signs up to a constant;
Kendall's tau-b (Kendall 1945, "The treatment of ties in ranking problems") is the correlation of
the signs themselves. Equal cells are ties in both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any, Final

import numpy as np

from medsift.arrays import Doubles, Flags
from medsift.errors import UsageError
from medsift.statistics.bootstrap import Resampling
from medsift.statistics.clusters import number_clusters, sum_clusters
from medsift.statistics.interval import SHARE, Ids, check_scores

LEAST_CELLS: Final = 3
"""Two cells are in the same order or not, which is no correlation."""
SAME: Final = 9
"""Decimals of a mean: what differs less is equal, however a machine adds."""


@dataclass(frozen=True, slots=True)
class ScoredCells:
    """How c cells were scored: `cells` are scores (s, n) of s trainings each, on the same n items.

    `clusters` (n,) are the items' groups; s may differ between cells.
    """

    cells: Sequence[Doubles]
    clusters: Ids


@dataclass(frozen=True, slots=True)
class Correlation:
    """A rank correlation with its 95% interval; None where one side has no order."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class RankAgreement:
    """Rank correlations of two ways of scoring over so many cells."""

    cells: int
    spearman: Correlation
    kendall: Correlation


def rank_agreement(
    first: ScoredCells,
    second: ScoredCells,
    strata: Sequence[Any] | None = None,
    resampling: Resampling | None = None,
) -> RankAgreement:
    """Return the rank correlations of two ways of scoring the same cells, in one order.

    The interval is the percentile one of a bootstrap that draws on each side, independently, the
    clusters of its items again (for all cells at once, so that what is hard for all cancels) and
    the trainings of every cell. Deviations of redrawn trainings are stretched by sqrt(s / (s - 1)),
    as s drawn again show (s - 1) / s of their variance. So it has the variance of items and
    trainings in it, and not that of another choice of cells. Noise that is in the scores is added
    once more by drawing again: intervals reach further down than up, and never too little.

    Args:
        first: scores of c cells.
        second: scores of the same cells, on other items perhaps.
        strata: the stratum of each cell (c,); only cells of one stratum are compared. None
            compares all.
        resampling: draws and seed of the bootstrap.

    Raises:
        UsageError: fewer than three cells, another number on one side, or scores outside [0, 1].
    """
    count = len(first.cells)
    if len(second.cells) != count or count < LEAST_CELLS:
        raise UsageError(
            f"rank correlation of {count} and {len(second.cells)} cells; give the same three cells "
            "or more on both sides",
            code="statistic_input_invalid",
            cells=[count, len(second.cells)],
        )
    draws = resampling or Resampling()
    names = np.zeros(count) if strata is None else np.unique(strata, return_inverse=True)[1]
    compared = names[:, None] == names[None, :]
    rng = np.random.default_rng(draws.seed)
    signs = [_signs(_means(side, draws.draws, rng), compared) for side in (first, second)]
    spearman, kendall = (_correlation(drawn) for drawn in _correlations(*signs))
    return RankAgreement(count, spearman, kendall)


def _means(side: ScoredCells, draws: int, rng: np.random.Generator) -> Doubles:
    """Return the mean score of each cell (draws + 1, c), first as it is, then of each resample."""
    codes = number_clusters(side.clusters)
    for scores in side.cells:
        for run in scores:
            check_scores("a cell's score", run, len(codes), SHARE)
    sums = [sum_clusters(np.asarray(scores, np.float64).T, codes) for scores in side.cells]
    width = len(sums[0].sums)
    drawn = rng.multinomial(width, np.full(width, 1.0 / width), size=draws)
    weights = np.concatenate([np.ones((1, width)), drawn])
    items = weights @ sums[0].counts[:, 0]
    means = np.empty((draws + 1, len(sums)))
    for cell, data in enumerate(sums):
        runs = weights @ data.sums / items[:, None]
        plain, trainings = runs.mean(axis=1), runs.shape[1]
        share = rng.multinomial(trainings, np.full(trainings, 1.0 / trainings), size=draws)
        redrawn = (runs[1:] * share).sum(axis=1) / trainings
        stretch = sqrt(trainings / (trainings - 1)) if trainings > 1 else 1.0
        means[0, cell] = plain[0]
        means[1:, cell] = plain[1:] + stretch * (redrawn - plain[1:])
    return means


def _signs(means: Doubles, compared: Flags) -> Doubles:
    """Return the signs of the differences of the compared cells (b, c, c), 0 for the others."""
    rounded = np.round(means, SAME)
    return np.asarray(np.sign(rounded[:, :, None] - rounded[:, None, :]) * compared, np.float64)


def _correlations(first: Doubles, second: Doubles) -> tuple[Doubles, Doubles]:
    """Return rho (b,) and tau (b,) from signs (b, c, c); NaN where one side has no order."""
    ranks = [signs.sum(axis=2) for signs in (first, second)]
    pairs = [signs.reshape(len(signs), -1) for signs in (first, second)]
    rho, tau = (
        np.divide(
            (one * other).sum(axis=1),
            norm := np.sqrt((one**2).sum(axis=1) * (other**2).sum(axis=1)),
            out=np.full(len(one), np.nan),
            where=norm > 0,
        )
        for one, other in (ranks, pairs)
    )
    return rho, tau


def _correlation(drawn: Doubles) -> Correlation:
    """Return the first of (b,) values, and the interval that the others give."""
    if np.isnan(drawn[0]):
        return Correlation(None, None, None)
    # A resample in which all cells of a side are equal orders nothing: it agrees with no order.
    low, high = np.quantile(np.nan_to_num(drawn[1:], nan=0.0), [0.025, 0.975])
    return Correlation(float(drawn[0]), float(low), float(high))
