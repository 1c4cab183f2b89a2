"""A score with its error: mean, 95% interval, items, clusters.

From 64 clusters on, the interval is a bootstrap-t over clusters; where fewer are, or where a few
of them have most items (less than half of them are effective), Wilson's interval with a variance
steadied for that and its degrees of freedom. Over simulated sets of 20, 63
and 203 clusters (means .5 and .9, correlation within clusters 0 to .6, sizes alike to Pareto) a
nominal 95% covers 93 to 98%, where a percentile bootstrap covers 78 to 96%. Above 97% it comes
with rare wrong answers on 20 clusters and with uneven ones: too wide, never too narrow.
`benchmarks/intervals.py --coverage` prints the table.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from medsift.arrays import Doubles
from medsift.errors import UsageError
from medsift.statistics.bootstrap import Resampling, all_studentized_ends, pool_clusters
from medsift.statistics.cluster_variance import fit_clusters
from medsift.statistics.clusters import ClusterSums, number_clusters, sum_clusters
from medsift.statistics.score_interval import (
    FEW_CLUSTERS,
    Bounds,
    Ends,
    score_interval,
    too_few,
    unvaried_interval,
)

LEVEL: Final = 0.95
FEW_ITEMS: Final = 30
SHARE: Final[Bounds] = (0.0, 1.0)
DIGITS: Final = 10
"""Decimals of an end, so that the order in which a machine adds does not show."""

Ids: TypeAlias = Sequence[Any] | NDArray[Any] | pa.Array | pa.ChunkedArray


@dataclass(frozen=True, slots=True)
class Estimate:
    """Hold a mean score and its 95% interval; None where there is none, and `note` says why."""

    value: float | None
    low: float | None
    high: float | None
    n: int
    clusters: int

    @property
    def few(self) -> bool:
        """Return whether there are fewer than 30 items: to be marked wherever it is shown."""
        return self.n < FEW_ITEMS

    @property
    def note(self) -> str | None:
        """Return what a reader must know about the interval, if anything."""
        return remark(self.n, self.clusters)


NO_ESTIMATE: Final = Estimate(None, None, None, 0, 0)


def remark(n: int, clusters: int) -> str | None:
    """Return what a reader must know about an interval from `n` items on so many clusters."""
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
    """Return the mean of scores with its interval. Raises UsageError as `intervals` does.

    Args:
        scores: (n,); NaN is no score.
        clusters: the cluster (n,) of each row.
        resampling: draws and seed of the bootstrap; None takes the defaults of `Resampling`.
        bounds: lowest and highest score, 0 and 1 by default.
    """
    return intervals({"score": scores}, clusters, resampling, bounds)["score"]


def intervals(
    columns: Mapping[str, ArrayLike],
    clusters: Ids,
    resampling: Resampling | None = None,
    bounds: Bounds = SHARE,
) -> dict[str, Estimate]:
    """Return each column's mean with its interval, all from the same resamples.

    Args:
        columns: scores (n,) by name; NaN is no score.
        clusters: the cluster (n,) of each row.
        resampling: draws and seed of the bootstrap.
        bounds: lowest and highest score.

    Raises:
        UsageError: a column has another length than `clusters` or leaves `bounds`.
    """
    codes = number_clusters(clusters)
    arrays = {name: np.asarray(column, np.float64) for name, column in columns.items()}
    for name, array in arrays.items():
        check_scores(name, array, len(codes), bounds)
    sums = sum_clusters(np.stack(list(arrays.values()), axis=1), codes)
    return dict(zip(columns, estimate(sums, resampling or Resampling(), bounds), strict=True))


def check_scores(name: str, scores: Doubles, n: int, bounds: Bounds) -> None:
    """Raise UsageError for scores of another shape than (n,), or outside `bounds`.

    Args:
        name: what the message calls the scores.
        scores: NaN is no score.
        n: number of rows that have a cluster.
        bounds: lowest and highest score.
    """
    if scores.shape != (n,):
        raise UsageError(
            f"{name} has shape {scores.shape}, but {n:,} rows have cluster ids; pass one score "
            "for each row",
            code="statistic_input_invalid",
            name=name,
            shape=scores.shape,
        )
    outside = scores[(scores < bounds[0]) | (scores > bounds[1])]
    if len(outside):
        raise UsageError(
            f"{name} has the value {outside[0]:g}; scores are in [{bounds[0]:g}, {bounds[1]:g}], "
            "NaN where there is none",
            code="statistic_input_invalid",
            name=name,
            value=float(outside[0]),
        )


def estimate(data: ClusterSums, resampling: Resampling, bounds: Bounds) -> list[Estimate]:
    """Return one estimate for each column of cluster sums (G, k), clusters ordered by hash."""
    return estimates([data], resampling, bounds)[0]


def estimates(
    cells: Sequence[ClusterSums], resampling: Resampling, bounds: Bounds
) -> list[list[Estimate]]:
    """Return `estimate` of each of many cells; equally many clusters share their resamples."""
    # Columns with equally many scores in each cluster share one fit, and so one resampling.
    parts: list[tuple[int, list[int], ClusterSums]] = []
    for number, cell in enumerate(cells):
        alike: dict[bytes, list[int]] = defaultdict(list)
        for column, counts in enumerate(cell.counts.T):
            alike[counts.tobytes()].append(column)
        for columns in alike.values():
            # A cluster without a score in these columns is no evidence for them.
            scored = cell.counts[:, columns[0]] > 0
            sums, counts = cell.sums[scored][:, columns], cell.counts[scored][:, columns]
            parts.append((number, columns, ClusterSums(sums, counts)))
    varied = [index for index, (_, _, data) in enumerate(parts) if len(data.sums) > 1]
    pairs = _all_ends([parts[index][2] for index in varied], resampling, bounds)
    both = dict(zip(varied, pairs, strict=True))
    made = [[NO_ESTIMATE] * cell.counts.shape[1] for cell in cells]
    for index, (number, columns, data) in enumerate(parts):
        groups, total = len(data.sums), data.counts.sum(0)
        if groups == 0:
            continue
        value = (data.sums.sum(0) / total).tolist()
        # One cluster shows no variance: a mean without an interval.
        low, high = (
            (end.tolist() for end in both[index]) if index in both else [[None] * len(value)] * 2
        )
        for k, column in enumerate(columns):
            made[number][column] = Estimate(value[k], low[k], high[k], int(total[k]), groups)
    return made


def ends(data: ClusterSums, resampling: Resampling, bounds: Bounds = SHARE) -> Ends:
    """Return ends (k,), (k,) of 95% intervals of k columns, with scores in all G ≥ 2 clusters."""
    return _all_ends([data], resampling, bounds)[0]


def _all_ends(cells: Sequence[ClusterSums], resampling: Resampling, bounds: Bounds) -> list[Ends]:
    """Return `ends` of each of many cells."""
    fits = [fit_clusters(pool_clusters(cell)) for cell in cells]
    many = [index for index, fit in enumerate(fits) if not too_few(fit)]
    # Where all clusters agree this divides by zero; those ends are replaced below.
    with np.errstate(invalid="ignore"):
        drawn = all_studentized_ends([fits[index] for index in many], resampling, LEVEL)
        resampled = dict(zip(many, drawn, strict=True))
        pairs = [
            resampled.get(index) or score_interval(fit, bounds, LEVEL)
            for index, fit in enumerate(fits)
        ]
    settled: list[Ends] = []
    for fit, cell, pair in zip(fits, cells, pairs, strict=True):
        # The clusters themselves are counted here, not the groups that they were pooled to.
        exact = unvaried_interval(fit.value, len(cell.sums), bounds, LEVEL)
        both: list[Doubles] = [
            np.where(fit.constant, sure, end) for sure, end in zip(exact, pair, strict=True)
        ]
        low, high = (np.clip(np.round(end, DIGITS), *bounds) for end in both)
        settled.append((low, high))
    return settled
