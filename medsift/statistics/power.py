"""Compute which difference a benchmark can show before anyone runs it.

Closed forms for the mean of n right-or-wrong items: variance p(1-p)/n, times Kish's design effect
1 + (m-1) icc for m items a cluster (Kish 1965, section 5.4), times 2(1-rho) for the difference of
two models whose scores on an item correlate by rho. A difference is shown with 80% power when it
is z(.975) + z(.80) = 2.80 standard errors wide.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, sqrt
from statistics import NormalDist
from typing import Final

from medsift.errors import UsageError

# 80% is the custom of trials: one real difference in five is missed.
POWER: Final = 0.8
Z_INTERVAL: Final = NormalDist().inv_cdf(0.975)
Z_POWER: Final = Z_INTERVAL + NormalDist().inv_cdf(POWER)


@dataclass(frozen=True, slots=True)
class PlannedComparison:
    """Describe a planned comparison: `n` items on so many clusters, and what is expected of it.

    Attributes:
        n: items.
        clusters: images or patients that the items are about; n where each has its own.
        icc: correlation of two items of one cluster, 0 to 1.
        rho: correlation of two models' scores on one item, 0 to below 1.
        baseline: share of items that the models get right.

    Raises:
        UsageError: a value outside its range.
    """

    n: int
    clusters: int
    icc: float = 0.0
    rho: float = 0.5
    baseline: float = 0.5

    def __post_init__(self) -> None:
        _require(self.n >= 2, "n", self.n, "at least 2 items")
        _require(2 <= self.clusters <= self.n, "clusters", self.clusters, "2 to n")
        _require(0 <= self.icc <= 1, "icc", self.icc, "0 to 1")
        # At rho 1 both models give the same answers and no number of items shows a difference.
        _require(0 <= self.rho < 1, "rho", self.rho, "0 to below 1")
        _require(0 < self.baseline < 1, "baseline", self.baseline, "above 0 and below 1")

    @property
    def design_effect(self) -> float:
        """Return how many items do the work of one independent item."""
        return 1.0 + (self.n / self.clusters - 1.0) * self.icc

    @property
    def half_width(self) -> float:
        """Return half the 95% interval of one model's accuracy."""
        return Z_INTERVAL * sqrt(self._variance / self.n)

    @property
    def smallest_difference(self) -> float:
        """Return the smallest paired gain, or margin of no worse, shown with 80% power."""
        return Z_POWER * sqrt(self._paired_variance / self.n)

    def items_for(self, margin: float) -> int:
        """Return how many items show a gain of `margin`, or no loss of it.

        The items a cluster stay as many as they are, so that the design effect does.
        """
        _require(0 < margin < 1, "margin", margin, "above 0 and below 1")
        return ceil(Z_POWER**2 * self._paired_variance / margin**2)

    @property
    def _variance(self) -> float:
        return self.baseline * (1 - self.baseline) * self.design_effect

    @property
    def _paired_variance(self) -> float:
        # What both models find hard cancels in their difference.
        return 2 * (1 - self.rho) * self._variance


def shown_by(half_width: float) -> float:
    """Return the smallest difference that a 95% interval so wide shows with 80% power."""
    return half_width * Z_POWER / Z_INTERVAL


def _require(holds: bool, name: str, value: float, allowed: str) -> None:
    if not holds:
        raise UsageError(
            f"{name} {value:g} is not allowed; give {allowed}",
            code="statistic_input_invalid",
            name=name,
            value=value,
        )
