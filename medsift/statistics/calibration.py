"""Measure whether a model that says 80% is right 4 times in 5 (Guo et al. 2017, section 2)."""

from __future__ import annotations

from dataclasses import dataclass
from math import pi, sqrt
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from medsift.arrays import Doubles, Flags, Indices
from medsift.errors import UsageError
from medsift.statistics.bootstrap import Resampling
from medsift.statistics.clusters import number_clusters, sum_clusters
from medsift.statistics.interval import SHARE, Estimate, Ids, check_scores, estimate

Binning = Literal["equal_mass", "equal_width"]
BINS: Final = 10
# Endpoints and half precision round each probability: their sum may be off by so much.
SUM_TOLERANCE: Final = 1e-3


@dataclass(frozen=True, slots=True)
class Bin:
    """One row of a reliability table: what was promised, and the share right with its error.

    `low` and `high` are the bin's range: of the confidences in it by equal mass, of the scale by
    equal width. `confidence` is the mean promise, None in an empty bin.
    """

    low: float | None
    high: float | None
    confidence: float | None
    accuracy: Estimate


@dataclass(frozen=True, slots=True)
class Calibration:
    """Expected calibration error and the table behind it.

    `by_chance` is about what a perfectly calibrated model would show on as many items in as many
    bins: an error near it says nothing against the model. None where there is nothing to score.
    """

    error: float | None
    by_chance: float | None
    n: int
    binning: Binning
    bins: tuple[Bin, ...]


def option_confidence(probabilities: ArrayLike, gold: ArrayLike) -> tuple[Doubles, Flags]:
    """Return the confidence (n,) in the likeliest option, and whether it is right (n,).

    Args:
        probabilities: of each option (n, options), NaN beyond an item's last option; of equally
            likely options the first counts.
        gold: number of the right option (n,).

    Raises:
        UsageError: negative probabilities, a row that does not sum to 1, or a gold option that
            an item does not have.
    """
    shares, right = np.asarray(probabilities, np.float64), np.asarray(gold, np.int64)
    if shares.ndim != 2 or right.shape != shares.shape[:1]:
        raise UsageError(
            f"probabilities have shape {shares.shape} and gold {right.shape}; they are "
            "(n, options) and (n,)",
            code="statistic_input_invalid",
            shape=shares.shape,
        )
    off = np.abs(np.nansum(shares, axis=1) - 1.0) > SUM_TOLERANCE
    _refuse((shares < 0).any(1) | off, "probabilities that are negative or do not sum to 1")
    known = np.where(np.isnan(shares), -1.0, shares)
    inside = (right >= 0) & (right < shares.shape[1])
    of_gold = np.take_along_axis(known, np.where(inside, right, 0)[:, None], axis=1)[:, 0]
    _refuse(~inside | (of_gold < 0), "a gold option that has no probability")
    return np.clip(known.max(axis=1), 0.0, 1.0), known.argmax(axis=1) == right


def calibration(
    confidence: ArrayLike,
    correct: ArrayLike,
    clusters: Ids,
    binning: Binning = "equal_mass",
    bins: int = BINS,
    resampling: Resampling | None = None,
) -> Calibration:
    """Compare confidence with being right, in bins of equal mass or width.

    The error is the mean distance of a bin's confidence from its share right, each bin by its
    items.

    Args:
        confidence: what the model promises (n,), in [0, 1].
        correct: whether it was right (n,), 0 to 1.
        clusters: the cluster (n,) of each item, for the intervals of the bins.
        binning: `equal_mass` puts equally many items into each bin, `equal_width` cuts the scale.
        bins: number of bins.
        resampling: draws and seed of the bootstrap.

    Raises:
        UsageError: other lengths, values outside [0, 1], unknown binning or no bins.
    """
    promised, right = np.asarray(confidence, np.float64), np.asarray(correct, np.float64)
    codes = number_clusters(clusters)
    for name, column in (("confidence", promised), ("correct", right)):
        check_scores(name, column, len(codes), SHARE)
        if missing := int(np.isnan(column).sum()):
            raise UsageError(
                f"{missing:,} values of {name} are missing; leave those items out",
                code="statistic_input_invalid",
                name=name,
                missing=missing,
            )
    if bins < 1:
        raise UsageError(
            f"bins {bins} is not allowed; give a number from 1 on",
            code="statistic_input_invalid",
            name="bins",
            value=bins,
        )
    if binning not in get_args(Binning):
        raise UsageError(
            f"binning {binning!r} is not allowed; give one of {', '.join(get_args(Binning))}",
            code="statistic_input_invalid",
            name="binning",
            value=binning,
        )
    places = _bin_places(promised, binning, bins)
    table, gaps, chance = [], 0.0, 0.0
    for number in range(bins):
        own = places == number
        said, was_right, own_codes = promised[own], right[own], codes[own]
        low: float | None = number / bins
        high: float | None = (number + 1) / bins
        if binning == "equal_mass":
            low, high = (float(said.min()), float(said.max())) if len(said) else (None, None)
        sums = sum_clusters(was_right[:, None], own_codes)
        [accuracy] = estimate(sums, resampling or Resampling(), SHARE)
        table.append(Bin(low, high, float(said.mean()) if len(said) else None, accuracy))
        gaps += abs(float(said.sum() - was_right.sum()))
        chance += _gap_by_chance(said, was_right, own_codes)
    n = len(codes)
    return Calibration(gaps / n if n else None, chance / n if n else None, n, binning, tuple(table))


def _bin_places(confidence: Doubles, binning: Binning, bins: int) -> Indices:
    """Return the bin (n,) of each item."""
    if binning == "equal_width":
        # 1.0 belongs to the last bin, whose upper edge it is.
        return np.minimum((confidence * bins).astype(np.int64), bins - 1)
    # Equal confidences share a bin, that of the middle one of them: the order of rows is nothing.
    _, value, counts = np.unique(confidence, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - (counts + 1) / 2
    places: Indices = (middle * bins / max(len(confidence), 1)).astype(np.int64)[value]
    return places


def _gap_by_chance(confidence: Doubles, correct: Doubles, codes: Indices) -> float:
    """Return the mean distance of the number right from its expectation, by chance alone."""
    gaps = sum_clusters((confidence - correct)[:, None], codes).sums[:, 0]
    if not len(gaps):
        return 0.0
    # Bernoulli's variance, or what the clusters show where that is more.
    independent = float((confidence * (1 - confidence)).sum())
    clustered = float(((gaps - gaps.mean()) ** 2).sum())
    # A normal distance of deviation s is s sqrt(2/pi) on average.
    return sqrt(2 / pi * max(independent, clustered))


def _refuse(bad: Flags, what: str) -> None:
    if bad.any():
        raise UsageError(
            f"{int(bad.sum()):,} items have {what}, first item {int(bad.argmax())}; correct what "
            "the model returns",
            code="statistic_input_invalid",
            items=int(bad.sum()),
            first=int(bad.argmax()),
        )
