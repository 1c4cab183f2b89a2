"""Move quotas towards the cells with the largest errors, by small steps towards a prior."""

from __future__ import annotations

from typing import Final

import numpy as np

from curation.selection.quotas import fill_between
from medsift.arrays import Doubles, Indices

FEW: Final = 30
"""Asked samples below which a cell's own variance says too little: it borrows that of all."""


def shrink_errors(wrong: Doubles, cell: Indices, cells: int) -> tuple[Doubles, Doubles, Indices]:
    """Return raw errors (g,), errors shrunk by empirical Bayes (g,), and samples asked (g,).

    A cell's error e_c of n_c samples is drawn towards the common mean μ by its share of noise:
    μ + (e_c − μ) τ² / (τ² + σ_c²). σ_c² = p(1 − p) / n_c, where p is the cell's own error, or the
    common one for a cell of fewer than 30 samples. τ², the variance between cells, is that of
    DerSimonian and Laird (1986), at least 0. A cell that was not asked about gets the mean.

    Args:
        wrong: Share of wrong answers (m,) to each asked sample.
        cell: Cell (m,) of each.
        cells: Number of cells, g.
    """
    asked = np.bincount(cell, minlength=cells)
    total = np.bincount(cell, weights=wrong, minlength=cells)
    common = float(wrong.mean())
    raw = np.divide(total, asked, out=np.full(cells, np.nan), where=asked > 0)
    known = asked > 0
    own = np.where(asked >= FEW, raw, common)[known]
    # A cell with no error or nothing but errors still has an uncertain one: half a sample each.
    own = (own * asked[known] + 0.5) / (asked[known] + 1.0)
    variance = own * (1.0 - own) / asked[known]
    tau, mean = _between(raw[known], variance)
    shrunk = np.full(cells, mean)
    shrunk[known] = mean + (raw[known] - mean) * tau / (tau + variance)
    return raw, shrunk, asked.astype(np.int64)


def excess(errors: Doubles, importance: Doubles, most: float) -> Doubles:
    """Return how far each cell's error (g,) is above the mean, in standard deviations, |z| ≤ most.

    Mean and deviation are weighed by importance (g,); all are 0 where no cells differ, and so is
    that of a cell without importance.
    """
    share = importance / importance.sum()
    mean = float(share @ errors)
    deviation = float(np.sqrt(share @ (errors - mean) ** 2))
    if deviation < 1e-12:
        return np.zeros(len(errors))
    z = np.clip((errors - mean) / deviation, -most, most)
    return np.where(importance > 0.0, z, 0.0)


def move_quotas(quota: Doubles, prior: Doubles, z: Doubles, step: float, keep: float) -> Doubles:
    """Return the next quotas (g,), which sum to 1: quota · exp(step · z), mixed with the prior.

    Args:
        quota: Shares (g,) of the round before.
        prior: Proportional shares (g,).
        z: Excess error (g,) of each cell.
        step: η, how far one round moves.
        keep: Share of the prior in the mixture.
    """
    moved = quota * np.exp(step * z)
    return np.asarray((1.0 - keep) * moved / moved.sum() + keep * prior, np.float64)


def bounded_counts(
    quota: Doubles, have: Indices, proportional: Indices, floor: float, cap: float
) -> Indices:
    """Return the samples (g,) of each cell: the budget by quota, within floor, cap and what it has.

    The cap is a multiple of the proportional count and comes before the floor, a share of the
    budget: a cell too small for it gets what the cap allows. Should all floors exceed the budget,
    no count falls below the proportional one.
    """
    budget = int(proportional.sum())
    # A margin over the error of the product: 0.07 · 100 is a little more than 7.
    upper = np.minimum(np.ceil(cap * proportional - 1e-9).astype(np.int64), have)
    lower = np.minimum(int(np.ceil(floor * budget - 1e-9)), upper)
    if lower.sum() > budget:
        lower = np.minimum(lower, proportional)
    return fill_between(quota, lower, upper, budget)


def _between(errors: Doubles, variance: Doubles) -> tuple[float, float]:
    """Return the variance between cells and their mean, weighed by what both variances allow."""
    weight = 1.0 / variance
    mean = float(weight @ errors / weight.sum())
    spread = float(weight @ (errors - mean) ** 2)
    scale = float(weight.sum() - (weight**2).sum() / weight.sum())
    tau = max(0.0, (spread - (len(errors) - 1)) / scale) if scale > 0.0 else 0.0
    weight = 1.0 / (tau + variance)
    return tau, float(weight @ errors / weight.sum())
