"""Fit how the error of a cell falls as its training samples grow: e(n) = ε + β n^(−α).

The form is that of Hestness et al. 2017 ("Deep learning scaling is predictable, empirically",
arXiv 1712.00409). Where the errors do not follow it, a falling convex line through them stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from medsift.arrays import Doubles

ALPHAS: Final = (0.05, 1.0)
"""Least and greatest exponent: below, a curve is flat within any budget; above, it has ended."""
GRID: Final = 40
ZOOMS: Final = 6
"""Each narrows the grid of exponents to the two steps around the best one."""
FEWEST_SIZES: Final = 3
"""Sizes that three unknowns need."""


@dataclass(frozen=True, slots=True)
class PowerLaws:
    """Curves e(n) = ε + β n^(−α), each part (b,); `squares` (b,) are the summed squared misfits."""

    epsilon: Doubles
    beta: Doubles
    alpha: Doubles
    squares: Doubles

    def errors(self, n: Doubles | float) -> Doubles:
        """Return the error (b,) of each curve at a size."""
        return np.asarray(self.epsilon + self.beta * n**-self.alpha, np.float64)


@dataclass(frozen=True, slots=True)
class CellCurve:
    """How the error of one cell falls with its training samples n.

    `form` is `power` for ε + β n^(−α), or `isotonic` for the convex falling line through the
    points (`sizes`, `levels`) (p,), of which ε, β and α are then None.
    """

    form: Literal["power", "isotonic"]
    epsilon: float | None
    beta: float | None
    alpha: float | None
    sizes: Doubles
    levels: Doubles

    def error(self, n: float) -> float:
        """Return the error expected of n samples; before the first point its slope continues."""
        if self.epsilon is not None and self.beta is not None and self.alpha is not None:
            return float(self.epsilon + self.beta * n**-self.alpha)
        if n < self.sizes[0] and len(self.sizes) > 1:
            return float(self.levels[0] + self._slopes[0] * (self.sizes[0] - n))
        return float(np.interp(n, self.sizes, self.levels))

    def size_at(self, gain: float) -> float:
        """Return the n up to which one more sample lowers the error by at least `gain` > 0."""
        if self.beta is not None and self.alpha is not None:
            return float((self.alpha * self.beta / gain) ** (1.0 / (1.0 + self.alpha)))
        steep = np.flatnonzero(self._slopes >= gain)
        return float(self.sizes[steep[-1] + 1]) if len(steep) else 0.0

    @property
    def _slopes(self) -> Doubles:
        return np.asarray(-np.diff(self.levels) / np.diff(self.sizes), np.float64)


def fit_power_laws(sizes: Doubles, errors: Doubles) -> PowerLaws:
    """Fit ε + β n^(−α) to errors (b, k) at sizes (k,), by least squares with ε, β ≥ 0.

    For a given α the rest is linear; α is searched on a grid that narrows around the best value.
    """
    low, high = (np.full(len(errors), end) for end in ALPHAS)
    for _ in range(ZOOMS):
        alphas = low[:, None] + (high - low)[:, None] * np.linspace(0.0, 1.0, GRID)
        epsilon, beta, squares = _linear_fits(sizes, errors, alphas)
        best = squares.argmin(axis=1)
        rows = np.arange(len(errors))
        low = alphas[rows, np.maximum(best - 1, 0)]
        high = alphas[rows, np.minimum(best + 1, GRID - 1)]
    return PowerLaws(epsilon[rows, best], beta[rows, best], alphas[rows, best], squares[rows, best])


def fit_curves(sizes: Doubles, errors: Doubles, noise: Doubles) -> list[CellCurve]:
    """Fit a curve to each row of errors (b, k) at ascending sizes (k,).

    The isotonic line takes the place of the power law where there are fewer than three sizes, or
    where the law misses the points by more than chance does: its mean squared misfit is above that
    of the line by more than `noise` (b,), the variance of one measured error.
    """
    lines = [falling_line(sizes, row) for row in errors]
    if len(sizes) < FEWEST_SIZES:
        return [CellCurve("isotonic", None, None, None, *line) for line in lines]
    laws = fit_power_laws(sizes, errors)
    drawn = np.stack([np.interp(sizes, *line) for line in lines])
    fits = laws.squares / len(sizes) <= ((drawn - errors) ** 2).mean(axis=1) + noise
    figures = (part.tolist() for part in (laws.epsilon, laws.beta, laws.alpha))
    return [
        CellCurve("power", epsilon, beta, alpha, *line)
        if fit
        else CellCurve("isotonic", None, None, None, *line)
        for fit, epsilon, beta, alpha, line in zip(fits.tolist(), *figures, lines, strict=True)
    ]


def falling_line(sizes: Doubles, errors: Doubles) -> tuple[Doubles, Doubles]:
    """Return the points (p,), (p,) of the convex line under the isotonic falling fit of errors."""
    from scipy.optimize import isotonic_regression  # type: ignore[import-untyped]

    # Sizes of a tiny cell may be equal: their errors are one point.
    sizes, member = np.unique(sizes, return_inverse=True)
    errors = np.bincount(member, weights=errors) / np.bincount(member)
    levels = np.asarray(isotonic_regression(errors, increasing=False).x, np.float64)
    kept: list[int] = []
    for point in range(len(sizes)):
        # A point on or above the chord of its neighbours would make later samples seem better
        # than earlier ones, which no allocation could use.
        while len(kept) > 1 and _above(sizes, levels, kept[-2], kept[-1], point):
            kept.pop()
        kept.append(point)
    return np.asarray(sizes, np.float64)[kept], levels[kept]


def _above(sizes: Doubles, levels: Doubles, left: int, middle: int, right: int) -> bool:
    share = (sizes[middle] - sizes[left]) / (sizes[right] - sizes[left])
    return bool(levels[middle] >= levels[left] + share * (levels[right] - levels[left]))


def _linear_fits(
    sizes: Doubles, errors: Doubles, alphas: Doubles
) -> tuple[Doubles, Doubles, Doubles]:
    """Return ε, β ≥ 0 and the summed squares, (b, a) each, for exponents (b, a)."""
    x = sizes[None, None, :] ** -alphas[:, :, None]
    y = errors[:, None, :]
    mean_x, mean_y = x.mean(axis=2, keepdims=True), y.mean(axis=2, keepdims=True)
    across = ((x - mean_x) ** 2).sum(axis=2)
    along = ((x - mean_x) * (y - mean_y)).sum(axis=2)
    # Without a spread of sizes there is no slope.
    beta = np.divide(along, across, out=np.zeros_like(along), where=across > 0)
    beta = np.maximum(beta, 0.0)
    epsilon = mean_y[:, :, 0] - beta * mean_x[:, :, 0]
    through_zero = (x * y).sum(axis=2) / (x**2).sum(axis=2)
    below = epsilon < 0.0
    beta, epsilon = np.where(below, through_zero, beta), np.where(below, 0.0, epsilon)
    squares = ((epsilon[:, :, None] + beta[:, :, None] * x - y) ** 2).sum(axis=2)
    return epsilon, beta, squares
