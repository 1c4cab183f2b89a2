"""A score with its error: mean, 95% interval, items, clusters.

From 64 clusters on, the interval is a bootstrap-t over clusters; where fewer are, or where a few
of them hold most items (less than half of them are effective), Wilson's interval with a variance
steadied for that and its degrees of freedom. Over simulated sets of 20, 63
and 203 clusters (means .5 and .9, correlation within clusters 0 to .6, sizes alike to Pareto) a
nominal 95% covers 93 to 98%, where a percentile bootstrap covers 78 to 96%. Above 97% it comes
with rare wrong answers on 20 clusters and with uneven ones: too wide, never too narrow.
`benchmarks/intervals.py --coverage` prints the table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from evaluation.statistics.bootstrap import Resampling, all_studentized_ends, pool_clusters
from evaluation.statistics.cluster_variance import ClusterFit, fit_clusters
from evaluation.statistics.clusters import ClusterSums, number_clusters, sum_clusters
from evaluation.statistics.score_interval import (
    FEW_CLUSTERS,
    Bounds,
    Ends,
    score_interval,
    too_few,
    unvaried_interval,
)
from medsift.arrays import Doubles
from medsift.errors import UsageError

LEVEL: Final = 0.95
FEW_ITEMS: Final = 30
SHARE: Final[Bounds] = (0.0, 1.0)
DIGITS: Final = 10
"""Decimals of an end, so that the order in which a machine adds does not show."""

Ids: TypeAlias = Sequence[Any] | NDArray[Any] | pa.Array | pa.ChunkedArray


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean score with its 95% interval; None where there is none, and `note` says why."""

    value: float | None
    low: float | None
    high: float | None
    n: int
    clusters: int

    @property
    def few(self) -> bool:
        """Fewer than 30 items: to be marked wherever it is shown."""
        return self.n < FEW_ITEMS

    @property
    def note(self) -> str | None:
        """What a reader must know about the interval, if anything."""
        return remark(self.n, self.clusters)


def remark(n: int, clusters: int) -> str | None:
    """What a reader must know about an interval from `n` items on so many clusters."""
    if n == 0:
        return "nothing to score"
    if clusters == 1:
        return "one cluster: no interval"
    if clusters < FEW_CLUSTERS:
        return f"{clusters} clusters: small-sample interval, no bootstrap"
    return None


def interval(
    scores: ArrayLike, clusters: Ids, resampling: Resampling | None = None, bounds: Bounds = SHARE
) -> Estimate:
    """Mean of `scores` (n,) in `bounds`, with its interval by `clusters` (n,); NaN is no score."""
    return intervals({"score": scores}, clusters, resampling, bounds)["score"]


def intervals(
    columns: Mapping[str, ArrayLike],
    clusters: Ids,
    resampling: Resampling | None = None,
    bounds: Bounds = SHARE,
) -> dict[str, Estimate]:
    """Each column's mean with its interval, all from the same resamples.

    Raises UsageError when a column has another length than `clusters` or leaves `bounds`.
    """
    codes = number_clusters(clusters)
    for name, column in columns.items():
        check_scores(name, np.asarray(column, np.float64), len(codes), bounds)
    scores = np.stack([np.asarray(column, np.float64) for column in columns.values()], axis=1)
    found = estimate(sum_clusters(scores, codes), resampling or Resampling(), bounds)
    return dict(zip(columns, found, strict=True))


def check_scores(name: str, scores: Doubles, n: int, bounds: Bounds) -> None:
    """Refuse scores (n,) of another length, or outside `bounds`. Raises UsageError."""
    if scores.shape != (n,):
        raise UsageError(
            f"{name} has shape {scores.shape}; {n:,} rows have cluster ids",
            code="statistic_input_invalid",
        )
    outside = (scores < bounds[0]) | (scores > bounds[1])
    if outside.any():
        raise UsageError(
            f"{name} holds {scores[outside][0]:g}; scores lie in [{bounds[0]:g}, {bounds[1]:g}], "
            "NaN where there is none",
            code="statistic_input_invalid",
        )


def estimate(data: ClusterSums, resampling: Resampling, bounds: Bounds) -> list[Estimate]:
    """One estimate for each column of cluster sums (G, k), clusters in the order of their hash."""
    return estimates([data], resampling, bounds)[0]


def estimates(
    cells: Sequence[ClusterSums], resampling: Resampling, bounds: Bounds
) -> list[list[Estimate]]:
    """`estimate` of each of many cells; those of equally many clusters share their resamples."""
    parts = [(number, columns) for number, cell in enumerate(cells) for columns in _alike(cell)]
    held = [_held(cells[number], columns) for number, columns in parts]
    varied = [place for place, part in enumerate(held) if len(part.sums) > 1]
    both = _all_ends([held[place] for place in varied], resampling, bounds)
    found = dict(zip(varied, both, strict=True))
    made: list[dict[int, Estimate]] = [{} for _ in cells]
    for place, (number, columns) in enumerate(parts):
        made[number] |= zip(columns, _estimates_of(held[place], found.get(place)), strict=True)
    return [[cell[column] for column in range(len(cell))] for cell in made]


def _alike(cell: ClusterSums) -> list[list[int]]:
    """Columns (k,) in lists that have equally many scores in each cluster."""
    alike: dict[bytes, list[int]] = {}
    for column, counts in enumerate(cell.counts.T):
        alike.setdefault(counts.tobytes(), []).append(column)
    return list(alike.values())


def _held(cell: ClusterSums, columns: Sequence[int]) -> ClusterSums:
    """These columns of the clusters that have scores in them."""
    held = cell.counts[:, columns[0]] > 0
    return ClusterSums(cell.sums[held][:, columns], cell.counts[held][:, columns])


def _estimates_of(data: ClusterSums, both: Ends | None) -> list[Estimate]:
    """Estimates of columns that all have scores in each of the G clusters."""
    groups, columns = data.sums.shape
    if groups == 0:
        return [Estimate(None, None, None, 0, 0)] * columns
    n = [int(count) for count in data.counts.sum(0)]
    value = (data.sums.sum(0) / data.counts.sum(0)).tolist()
    if both is None:
        return [Estimate(value[i], None, None, n[i], groups) for i in range(columns)]
    low, high = (end.tolist() for end in both)
    return [Estimate(value[i], low[i], high[i], n[i], groups) for i in range(columns)]


def ends(data: ClusterSums, resampling: Resampling, bounds: Bounds = SHARE) -> Ends:
    """Ends (k,), (k,) of 95% intervals of k columns, each with scores in all of G ≥ 2 clusters."""
    return _all_ends([data], resampling, bounds)[0]


def _all_ends(cells: Sequence[ClusterSums], resampling: Resampling, bounds: Bounds) -> list[Ends]:
    """`ends` of each of many cells."""
    fits = [fit_clusters(pool_clusters(cell)) for cell in cells]
    few = [too_few(fit) for fit in fits]
    found: dict[int, Ends] = {}
    with np.errstate(invalid="ignore"):
        for place in np.flatnonzero(few).tolist():
            found[place] = score_interval(fits[place], bounds, LEVEL)
        many = np.flatnonzero(~np.array(few, bool)).tolist()
        resampled = all_studentized_ends([fits[place] for place in many], resampling, LEVEL)
        found |= zip(many, resampled, strict=True)
    return [
        _settled(fits[place], found[place], len(cell.sums), bounds)
        for place, cell in enumerate(cells)
    ]


def _settled(fit: ClusterFit, found: Ends, clusters: int, bounds: Bounds) -> Ends:
    """The ends found, or exact ones where no cluster differs from the others."""
    sure = unvaried_interval(fit.value, clusters, bounds, LEVEL)
    low, high = (np.where(fit.constant, exact, end) for exact, end in zip(sure, found, strict=True))
    return _tidy(low, bounds), _tidy(high, bounds)


def _tidy(end: Doubles, bounds: Bounds) -> Doubles:
    kept: Doubles = np.clip(np.round(end, DIGITS), *bounds)
    return kept
