"""Whether a model that says 80% is right four times in five (Guo et al. 2017, section 2)."""

from __future__ import annotations

from dataclasses import dataclass
from math import pi, sqrt
from typing import Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluation.statistics.bootstrap import Resampling
from evaluation.statistics.clusters import number_clusters, sum_clusters
from evaluation.statistics.interval import SHARE, Estimate, Ids, check_scores, estimate
from medsift.arrays import Doubles, Indices
from medsift.errors import UsageError

Binning = Literal["equal_mass", "equal_width"]
BINS: Final = 10
_SUM_TOLERANCE: Final = 1e-3


@dataclass(frozen=True, slots=True)
class Bin:
    """One line of a reliability table: what was promised, and the share right with its error.

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


def option_confidence(
    probabilities: ArrayLike, gold: ArrayLike
) -> tuple[Doubles, NDArray[np.bool_]]:
    """Confidence (n,) in the likeliest option, and whether it is right (n,).

    Args:
        probabilities: of each option (n, options), NaN beyond an item's last option; of equally
            likely options the first counts.
        gold: number of the right option (n,).

    Raises:
        UsageError: negative probabilities, a row that does not sum to 1, or a gold option that
            an item does not have.
    """
    given, right = np.asarray(probabilities, np.float64), np.asarray(gold, np.int64)
    if given.ndim != 2 or right.shape != given.shape[:1]:
        raise UsageError(
            f"probabilities have shape {given.shape} and gold {right.shape}; they are (n, options) "
            "and (n,)",
            code="statistic_input_invalid",
        )
    known = np.where(np.isnan(given), -1.0, given)
    bad = (known < 0) & ~np.isnan(given)
    off = np.abs(np.nansum(given, axis=1) - 1.0) > _SUM_TOLERANCE
    _refuse(bad.any(1) | off, "probabilities that are negative or do not sum to 1")
    inside = (right >= 0) & (right < given.shape[1])
    absent = np.take_along_axis(known, np.where(inside, right, 0)[:, None], axis=1)[:, 0] < 0
    _refuse(~inside | absent, "a gold option that has no probability")
    return np.clip(known.max(axis=1), 0.0, 1.0), known.argmax(axis=1) == right


def calibration(
    confidence: ArrayLike,
    correct: ArrayLike,
    clusters: Ids,
    binning: Binning = "equal_mass",
    bins: int = BINS,
    resampling: Resampling | None = None,
) -> Calibration:
    """Compare confidence (n,) in [0, 1] with being right (n,), in bins of equal mass or width.

    The error is the mean distance of a bin's confidence from its share right, each bin by its
    items. Equal confidences share a bin, so that the order of rows is nothing. Intervals of the
    bins are clustered by `clusters` (n,).

    Raises UsageError for other lengths, values outside [0, 1], unknown binning or no bins.
    """
    promised, right = np.asarray(confidence, np.float64), np.asarray(correct, np.float64)
    codes = number_clusters(clusters)
    for name, column in (("confidence", promised), ("correct", right)):
        check_scores(name, column, len(codes), SHARE)
        if np.isnan(column).any():
            raise UsageError(
                f"{int(np.isnan(column).sum()):,} values of {name} are missing",
                code="statistic_input_invalid",
            )
    if bins < 1:
        raise UsageError(
            f"bins {bins} is not allowed; it is at least 1", code="statistic_input_invalid"
        )
    place = _places(promised, binning, bins)
    made, gaps, chance = [], 0.0, 0.0
    for number in range(bins):
        here = place == number
        edges = (number / bins, (number + 1) / bins) if binning == "equal_width" else None
        made.append(_bin(promised[here], right[here], codes[here], edges, resampling))
        gaps += abs(float(promised[here].sum() - right[here].sum()))
        chance += _chance(promised[here], right[here], codes[here])
    n = len(codes)
    return Calibration(gaps / n if n else None, chance / n if n else None, n, binning, tuple(made))


def _places(confidence: Doubles, binning: Binning, bins: int) -> Indices:
    """Bin (n,) of each item."""
    if binning == "equal_width":
        return np.minimum((confidence * bins).astype(np.int64), bins - 1)
    if binning != "equal_mass":
        raise UsageError(
            f"binning {binning!r} is unknown; allowed: equal_mass, equal_width",
            code="statistic_input_invalid",
        )
    _, value, counts = np.unique(confidence, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - (counts + 1) / 2
    places: Indices = (middle * bins / max(len(confidence), 1)).astype(np.int64)[value]
    return places


def _bin(
    confidence: Doubles,
    correct: Doubles,
    codes: Indices,
    edges: tuple[float, float] | None,
    resampling: Resampling | None,
) -> Bin:
    accuracy = estimate(sum_clusters(correct[:, None], codes), resampling or Resampling(), SHARE)[0]
    if not len(confidence):
        low, high = edges or (None, None)
        return Bin(low, high, None, accuracy)
    low, high = edges or (float(confidence.min()), float(confidence.max()))
    return Bin(low, high, float(confidence.mean()), accuracy)


def _chance(confidence: Doubles, correct: Doubles, codes: Indices) -> float:
    """Mean distance of the number right from its expectation, were the confidences true.

    A normal distance of deviation s is s sqrt(2/pi) on average; s is Bernoulli's, or what the
    clusters show where that is more.
    """
    independent = float((confidence * (1 - confidence)).sum())
    gaps = sum_clusters((confidence - correct)[:, None], codes).sums[:, 0]
    return (
        sqrt(2 / pi * max(independent, float(((gaps - gaps.mean()) ** 2).sum())))
        if len(gaps)
        else 0.0
    )


def _refuse(bad: NDArray[np.bool_], what: str) -> None:
    if bad.any():
        raise UsageError(
            f"{int(bad.sum()):,} items have {what}, first item {int(bad.argmax())}",
            code="statistic_input_invalid",
        )
