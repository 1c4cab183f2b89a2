"""Measure how well a subset represents the pool, and what mass each of its samples represents."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from curation.selection.neighbor_matrix import UNIT, Narrow, Similarities
from medsift.arrays import Doubles, Indices

_AT_A_TIME = 1 << 16


@dataclass(frozen=True, slots=True)
class Curve:
    """Coverage (c,) of the first `size` (c,) samples of an order."""

    size: Indices
    coverage: Doubles


def coverage(values: Similarities, mass: Indices, chosen: Indices) -> float:
    """Share of the pool's mass that some samples (m,) cover.

    Σ_i mass_i · max_{j∈S} sim(i, j) / Σ_i mass_i, over all i of the pool.

    Similarity is that of `similarities`: 1 with oneself, 0 where the graph has no edge. The whole
    pool covers 1, nothing covers 0. This is the facility-location value over its maximum.
    """
    return _share(_served(values, np.zeros(len(values), np.int32), chosen), mass)


def curve(values: Similarities, mass: Indices, order: Indices, sizes: Indices) -> Curve:
    """Coverage of the first 1 … m samples of an order (m,), at ascending `sizes` (c,)."""
    served = np.zeros(len(values), np.int32)
    found, done = np.zeros(len(sizes)), 0
    for place, size in enumerate(sizes.tolist()):
        served, done = _served(values, served, order[done:size]), size
        found[place] = _share(served, mass)
    return Curve(sizes, found)


def weights(values: Similarities, mass: Indices, strata: Indices, order: Indices) -> Doubles:
    """The mass (m,) that each chosen sample of `order` (m,) represents; it sums to the pool's.

    Each sample of the pool gives its mass to the chosen sample it is most similar to, of equals
    the first of the order; a chosen one keeps its own. The mass of samples without a chosen
    neighbour is spread evenly over the chosen ones of their stratum (`strata` (n,) are its
    numbers), or over all where the stratum has none.
    """
    if not len(order):
        return np.zeros(0)
    best = _nearest_chosen(values, order)
    there = best >= 0
    own = np.bincount(best[there], weights=mass[there], minlength=len(order))
    groups = int(strata.max()) + 1
    stray = np.bincount(strata[~there], weights=mass[~there], minlength=groups)
    members = np.bincount(strata[order], minlength=groups)
    shared: Doubles = np.divide(stray, members, out=np.zeros(groups), where=members > 0)
    nowhere = float(stray[members == 0].sum())
    found: Doubles = own + shared[strata[order]] + nowhere / len(order)
    return found


def _served(values: Similarities, served: Narrow, chosen: Indices) -> Narrow:
    served = served.copy()
    for start in range(0, len(chosen), _AT_A_TIME):
        _, other, value = values.rows(chosen[start : start + _AT_A_TIME])
        np.maximum.at(served, other, value)
    return served


def _share(served: Narrow, mass: Indices) -> float:
    total = int(mass.sum())
    return int((served * mass).sum()) / (UNIT * total) if total else 0.0


def _nearest_chosen(values: Similarities, order: Indices) -> Indices:
    """Rank (n,) of the chosen sample that each sample is most similar to, or -1."""
    m = len(order)
    # One number holds the similarity and, below it, the rank: the greatest is the nearest.
    key = np.zeros(len(values), np.int64)
    for first in range(0, m, _AT_A_TIME):
        start, other, value = values.rows(order[first : first + _AT_A_TIME])
        rank = first + np.repeat(np.arange(len(start) - 1), np.diff(start))
        np.maximum.at(key, other, value.astype(np.int64) * m + (m - 1 - rank))
    key[order] = UNIT * m + (m - 1 - np.arange(m))
    return np.where(key >= m, m - 1 - key % m, -1)
