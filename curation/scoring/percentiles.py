"""Rank values: each within its stratum, or among all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medsift.arrays import Doubles, Indices


def rank_percentiles(values: Doubles, groups: Sequence[str]) -> Doubles:
    """Return the percentile (n,), from 0 to 1, of each value (n,) among those of its group (n).

    Of m values the r-th smallest has (r - 1/2) / m, equal ones the mean of theirs; so one value
    alone has 0.5, and the mean of a group is 0.5 whatever its size. NaN stays NaN and is not
    counted.
    """
    _, group = np.unique(np.array(groups, np.str_), return_inverse=True)
    percentile = np.full(len(values), np.nan)
    known = np.flatnonzero(~np.isnan(values))
    ranks, size = _rank_within(values[known], group[known])
    percentile[known] = (ranks + 0.5) / size
    return percentile


def rank(values: Doubles) -> Doubles:
    """Return the rank (n,) of each value from 0, equal ones the mean of theirs; none is NaN."""
    return _rank_within(values, np.zeros(len(values), np.int64))[0]


def _rank_within(values: Doubles, group: Indices) -> tuple[Doubles, Indices]:
    """Return the mean rank (n,) within the group, from 0, and the group's size (n,)."""
    order = np.lexsort((values, group))
    value, label = values[order], group[order]
    begins = np.ones(len(order), bool)
    begins[1:] = label[1:] != label[:-1]
    starts = np.flatnonzero(begins)
    size = np.diff(np.append(starts, len(order)))
    rank_in_group = np.arange(len(order)) - np.repeat(starts, size)
    # A run of equal values of one group begins where either changes.
    begins[1:] |= value[1:] != value[:-1]
    ties = np.flatnonzero(begins)
    length = np.diff(np.append(ties, len(order)))
    ranks, sizes = np.empty(len(order)), np.empty(len(order), np.int64)
    ranks[order] = np.repeat(rank_in_group[ties] + (length - 1) / 2.0, length)
    sizes[order] = np.repeat(size, size)
    return ranks, sizes
