"""Divide a budget over cells so that the error predicted by their learning curves is least."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from curation.improve.learning_curves import CellCurve, fit_curves
from curation.selection.quotas import fill_between
from medsift.arrays import Doubles, Indices

HALVINGS: Final = 60
"""They reach the last bit of λ between 1e-300 and 1e300, whose logarithm is halved."""
RESAMPLES: Final = 400


@dataclass(frozen=True, slots=True)
class CellErrors:
    """How random subsets of k sizes answer m asked samples, which are in g cells.

    `sizes` (g, k) are the mean training samples of each cell at each size, ascending. `wrong`
    (k, m) is the share of draws in which a sample is answered wrongly; `cell` (m,) and `cluster`
    (m,) number its cell and its group of pictures or patients.
    """

    sizes: Doubles
    wrong: Doubles
    cell: Indices
    cluster: Indices


@dataclass(frozen=True, slots=True)
class CurveQuotas:
    """The best division of a budget over g cells by their curves, and what it promises.

    `counts` and `proportional` (g,) are samples; `curves` has None for a cell that was not asked
    about, which keeps its proportional count. `gain` is the predicted fall of the error against
    proportional quotas, weighed by importance: the median of the resamples, with its 95% interval.
    """

    counts: Indices
    proportional: Indices
    curves: tuple[CellCurve | None, ...]
    gain: float
    low: float
    high: float

    @property
    def worthwhile(self) -> bool:
        """Whether the interval of the gain is above zero; else proportional quotas are kept."""
        return self.low > 0.0

    @property
    def advised(self) -> Indices:
        """The counts (g,) to use."""
        return self.counts if self.worthwhile else self.proportional


def curve_quotas(
    errors: CellErrors,
    importance: Doubles,
    have: Indices,
    proportional: Indices,
    floor: int,
    seed: int,
    resamples: int = RESAMPLES,
) -> CurveQuotas:
    """Fit each cell's curve, divide the budget of `proportional`, and predict the gain.

    The interval of the gain is the percentile one of a bootstrap over groups. Each resample fits
    its own curves and divides by them, and the groups that it leaves out say what that is worth
    (Efron and Tibshirani 1997, for the groups left out). A cell none of whose groups are left out
    is judged by all of them.

    Args:
        errors: of random subsets, by cell and size.
        importance: weight (g,) of each cell's error.
        have: samples (g,) that each cell has.
        proportional: counts (g,) of proportional quotas; they sum to the budget.
        floor: samples that each cell gets at least, or its proportional count if that is less.
        seed: seed of the bootstrap.
        resamples: of the bootstrap.
    """
    width, groups = len(have), int(errors.cluster.max(initial=-1)) + 1
    # By cluster once: a resample is then a product.
    key = errors.cluster * width + errors.cell
    counted = np.bincount(key, minlength=groups * width).reshape(groups, width)
    asked: Doubles = counted.astype(np.float64)
    wrong: Doubles = np.stack(
        [
            np.bincount(key, weights=row, minlength=groups * width).reshape(groups, width)
            for row in errors.wrong
        ]
    )
    rng = np.random.default_rng(seed)
    draws = [
        np.bincount(rng.integers(0, groups, groups), minlength=groups) for _ in range(resamples)
    ]
    drawn = np.stack([np.ones(groups, np.int64), *draws]).astype(np.float64)
    curves, *inside = _curves(errors.sizes, wrong, asked, drawn)
    left_out: Doubles = (drawn == 0.0).astype(np.float64)
    _, *outside = _curves(errors.sizes, wrong, asked, left_out, curves)
    lower = np.minimum(np.minimum(floor, proportional), have)

    def divide(curves: Sequence[CellCurve | None]) -> Indices:
        return optimal_counts(curves, importance, lower, have, proportional)

    def gain(counts: Indices, curves: Sequence[CellCurve | None]) -> float:
        return predicted_error(curves, importance, proportional) - predicted_error(
            curves, importance, counts
        )

    counts = divide(curves)
    pairs = zip(inside, outside, left_out[1:], strict=True)
    # A resample of all groups leaves none to judge by. With one group alone no gain is sure.
    gains = [gain(divide(chooses), prices) for chooses, prices, left in pairs if left.any()]
    low, middle, high = np.quantile(gains or [0.0], [0.025, 0.5, 0.975]).tolist()
    return CurveQuotas(counts, proportional, tuple(curves), middle, low, high)


def optimal_counts(
    curves: Sequence[CellCurve | None],
    importance: Doubles,
    lower: Indices,
    have: Indices,
    proportional: Indices,
) -> Indices:
    """Return the counts (g,) that minimise Σ v_c e_c(n_c) with Σ n_c = B and lower ≤ n_c ≤ have.

    At the minimum the last sample of every cell is worth the same, λ = v_c α_c β_c n_c^(−α_c − 1),
    so that n_c ∝ (v_c α_c β_c)^(1 / (1 + α_c)) for equal α; λ is found by bisection, with the
    bounds, and a straight stretch of an isotonic line is filled as far as the budget goes. Cells
    without a curve, or of importance 0, keep their proportional count; B is what the others' sum
    to.
    """
    known = np.array([curve is not None for curve in curves]) & (importance > 0.0)
    if not known.any():
        return proportional
    cells, budget = np.flatnonzero(known), int(proportional[known].sum())

    def sizes(value: float) -> Doubles:
        wanted = [
            curve.size_at(value / importance[cell])
            for cell in cells.tolist()
            if (curve := curves[cell]) is not None
        ]
        return np.asarray(np.clip(wanted, lower[cells], have[cells]), np.float64)

    # λ between one at which all cells are full and one at which all have their least.
    low, high = 1e-300, 1e300
    for _ in range(HALVINGS):
        middle = float(np.sqrt(low) * np.sqrt(high))
        if sizes(middle).sum() >= budget:
            low = middle
        else:
            high = middle
    most, least = sizes(low), sizes(high)
    gap = most.sum() - least.sum()
    share = (budget - least.sum()) / gap if gap > 0 else 0.0
    ideal = least + np.clip(share, 0.0, 1.0) * (most - least)
    counts = proportional.copy()
    if ideal.sum() < budget - 0.5:
        # Curves that are flat everywhere leave samples over: these follow the proportional counts.
        room = np.maximum(proportional[cells], 1).astype(np.float64)
        # Rounded down: points of an isotonic line are means, whose sum rounded up may exceed B.
        filled = fill_between(room, np.floor(ideal + 1e-9).astype(np.int64), have[cells], budget)
    else:
        filled = fill_between(ideal, lower[cells], have[cells], budget)
    counts[cells] = filled
    return counts


def predicted_error(
    curves: Sequence[CellCurve | None], importance: Doubles, counts: Indices
) -> float:
    """Return Σ v_c e_c(n_c) over cells that have a curve."""
    pairs = zip(curves, importance.tolist(), counts.tolist(), strict=True)
    # A cell of no samples is priced as one of one: the law has no value at 0.
    errors = [v * curve.error(max(n, 1.0)) for curve, v, n in pairs if curve is not None]
    return float(np.sum(errors))


def _curves(
    sizes: Doubles,
    wrong: Doubles,
    asked: Doubles,
    weight: Doubles,
    usual: Sequence[CellCurve | None] = (),
) -> list[list[CellCurve | None]]:
    """Fit every cell's curve for each weighing of groups (b, groups); `usual` without any asked.

    `wrong` (k, groups, g) and `asked` (groups, g) are sums over the samples of a group.
    """
    count = weight @ asked
    columns: list[list[CellCurve | None]] = []
    for cell in range(asked.shape[1]):
        column: list[CellCurve | None] = [usual[cell] if usual else None] * len(weight)
        some = np.flatnonzero(count[:, cell] > 0.0)
        if len(some):
            n = count[some, cell]
            rates = weight[some] @ wrong[:, :, cell].T / n[:, None]
            noise = rates.mean(axis=1) * (1.0 - rates.mean(axis=1)) / n
            for row, curve in zip(some, fit_curves(sizes[cell], rates, noise), strict=True):
                column[row] = curve
        columns.append(column)
    return [list(row) for row in zip(*columns, strict=True)]
