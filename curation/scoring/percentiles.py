"""Ranks: of a value within its stratum, and of values among all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medsift.arrays import Doubles, Indices


def percentiles(values: Doubles, groups: Sequence[str]) -> Doubles:
    """Percentile (n,), from 0 to 1, of each value (n,) among those of its group (n).

    Of m values the r-th smallest has (r - 1/2) / m, equal ones the mean of theirs; so one value
    alone has 0.5, and the mean of a group is 0.5 whatever its size. NaN stays NaN and is not
    counted.
    """
    _, group = np.unique(np.array(groups, np.str_), return_inverse=True)
    found = np.full(len(values), np.nan)
    there = np.flatnonzero(~np.isnan(values))
    rank, size = _ranks(values[there], group[there])
    found[there] = (rank + 0.5) / size
    return found


def ranks(values: Doubles) -> Doubles:
    """Rank (n,) of each value from 0, equal ones the mean of theirs; no value is NaN."""
    return _ranks(values, np.zeros(len(values), np.int64))[0]


def _ranks(values: Doubles, group: Indices) -> tuple[Doubles, Indices]:
    """Mean rank (n,) within the group, from 0, and the group's size (n,)."""
    order = np.lexsort((values, group))
    value, label = values[order], group[order]
    begins = np.ones(len(order), bool)
    begins[1:] = label[1:] != label[:-1]
    starts = np.flatnonzero(begins)
    size = np.diff(np.append(starts, len(order)))
    place = np.arange(len(order)) - np.repeat(starts, size)
    begins[1:] |= value[1:] != value[:-1]
    ties = np.flatnonzero(begins)
    length = np.diff(np.append(ties, len(order)))
    rank = np.empty(len(order))
    rank[order] = np.repeat(place[ties] + (length - 1) / 2.0, length)
    sizes = np.empty(len(order), np.int64)
    sizes[order] = np.repeat(size, size)
    return rank, sizes
