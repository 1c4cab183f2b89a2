"""Measure how well a subset represents the pool, and what mass each of its samples represents."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from curation.selection.method import Candidates
from curation.selection.neighbor_matrix import UNIT, Similarities
from medsift.arrays import Doubles, Indices, Narrow

_ROWS_AT_A_TIME = 1 << 16


@dataclass(frozen=True, slots=True)
class Curve:
    """Coverage (c,) of the first `size` (c,) samples of an order."""

    size: Indices
    coverage: Doubles


def measure_coverage(candidates: Candidates, chosen: Indices) -> float:
    """Return the share of the pool's mass that some samples S (m,) cover.

    Σ_i mass_i · max_{j∈S} sim(i, j) / Σ_i mass_i, over all i of the pool.

    A sample has similarity 1 with itself and 0 where the graph has no edge. The whole pool covers
    1, nothing covers 0. This is the facility-location value over its maximum.
    """
    return float(measure_curve(candidates, chosen, np.array([len(chosen)])).coverage[0])


def measure_curve(candidates: Candidates, order: Indices, sizes: Indices) -> Curve:
    """Measure the coverage of the first samples of an order (m,), at ascending `sizes` (c,)."""
    values, mass = candidates.similarities, candidates.mass
    served: Narrow = np.zeros(len(values), np.int32)
    # Whole numbers throughout: the same coverage whatever the order of the sum.
    total, counted = int(mass.sum()), 0
    coverage = np.zeros(len(sizes))
    for point, size in enumerate(sizes.tolist()):
        for start in range(counted, size, _ROWS_AT_A_TIME):
            chosen = order[start : min(size, start + _ROWS_AT_A_TIME)]
            _, other, value = values.rows(chosen)
            np.maximum.at(served, other, value)
        counted = size
        coverage[point] = int((served * mass).sum()) / (UNIT * total) if total else 0.0
    return Curve(sizes, coverage)


def distribute_mass(candidates: Candidates, order: Indices) -> Doubles:
    """Return the mass (m,) that each chosen sample of an order represents; it sums to the pool's.

    Each sample of the pool gives its mass to the chosen sample it is most similar to, of equals
    the first of the order; a chosen one keeps its own. The mass of samples without a chosen
    neighbour is spread evenly over the chosen ones of their stratum, or over all where the stratum
    has none.
    """
    mass, strata = candidates.mass, candidates.strata.code
    if not len(order):
        return np.zeros(0)
    nearest = _nearest_chosen(candidates.similarities, order)
    served = nearest >= 0
    own = np.bincount(nearest[served], weights=mass[served], minlength=len(order))
    groups = int(strata.max()) + 1
    stray = np.bincount(strata[~served], weights=mass[~served], minlength=groups)
    members = np.bincount(strata[order], minlength=groups)
    shared: Doubles = np.divide(stray, members, out=np.zeros(groups), where=members > 0)
    without_stratum = float(stray[members == 0].sum())
    return np.asarray(own + shared[strata[order]] + without_stratum / len(order))


def _nearest_chosen(values: Similarities, order: Indices) -> Indices:
    """Return the rank (n,) of the chosen sample that each sample is most similar to, or -1."""
    m = len(order)
    # One number has the similarity and, below it, the rank counted from the end: its maximum is
    # the most similar sample, of equals the first of the order.
    key = np.zeros(len(values), np.int64)
    for first in range(0, m, _ROWS_AT_A_TIME):
        start, other, value = values.rows(order[first : first + _ROWS_AT_A_TIME])
        rank = first + np.repeat(np.arange(len(start) - 1), np.diff(start))
        np.maximum.at(key, other, value.astype(np.int64) * m + (m - 1 - rank))
    # A chosen sample keeps its own mass, even where an equal one comes before it.
    key[order] = UNIT * m + (m - 1 - np.arange(m))
    return np.where(key >= m, m - 1 - key % m, -1)
