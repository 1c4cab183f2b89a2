"""Rank values within their strata."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from medsift.arrays import Doubles


def rank_percentiles(values: Doubles, groups: Sequence[str]) -> Doubles:
    """Return the percentile (n,), from 0 to 1, of each value (n,) among those of its group (n).

    Of m values the r-th smallest has (r - 1/2) / m, equal ones the mean of theirs; so one value
    alone has 0.5, and the mean of a group is 0.5 whatever its size. NaN stays NaN and is not
    counted.
    """
    from scipy.stats import rankdata  # type: ignore[import-untyped]

    rows_of = defaultdict(list)
    for row in np.flatnonzero(~np.isnan(values)).tolist():
        rows_of[groups[row]].append(row)
    percentile = np.full(len(values), np.nan)
    for rows in rows_of.values():
        percentile[rows] = (rankdata(values[rows]) - 0.5) / len(rows)
    return percentile
