"""Rank values within their strata."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from curation.pool.groups import Groups
from medsift.arrays import Doubles


def rank_percentiles(values: Doubles, groups: Sequence[str] | pa.Array) -> Doubles:
    """Return the percentile (n,), from 0 to 1, of each value (n,) among those of its group (n).

    Of m values the r-th smallest has (r - 1/2) / m, equal ones the mean of theirs; so one value
    alone has 0.5, and the mean of a group is 0.5 whatever its size. NaN stays NaN and is not
    counted.
    """
    from scipy.stats import rankdata  # type: ignore[import-untyped]

    known = np.flatnonzero(~np.isnan(values))
    code = Groups.of(groups).code[known]
    percentile = np.full(len(values), np.nan)
    order = np.argsort(code, kind="stable")
    borders = np.flatnonzero(np.diff(code[order])) + 1
    for rows in np.split(known[order], borders):
        percentile[rows] = (rankdata(values[rows]) - 0.5) / max(len(rows), 1)
    return percentile
