"""One score from many: a weighted mean of percentiles."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from medsift.arrays import Doubles


def combine(parts: Mapping[str, Doubles], weights: Mapping[str, float]) -> Doubles:
    """Weighted mean (n,) of the percentiles (n,) that a sample has; NaN where it has none.

    A part of negative weight counts by its size with 1 - percentile. Weights of the parts that
    are there make up the whole:

        sum |w| (p if w > 0 else 1 - p) / sum |w|
    """
    shape = next(iter(parts.values())).shape
    total, weight = np.zeros(shape), np.zeros(shape)
    for part, signed in weights.items():
        percentile = parts[part]
        there = ~np.isnan(percentile)
        good = percentile if signed > 0.0 else 1.0 - percentile
        total[there] += abs(signed) * good[there]
        weight[there] += abs(signed)
    mean: Doubles = np.divide(total, weight, out=np.full(shape, np.nan), where=weight > 0.0)
    return mean
