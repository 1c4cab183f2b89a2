"""Pick more from clusters that teach much and vary much, the most typical of each: COINCIDE."""

from __future__ import annotations

from functools import partial
from typing import Final, Literal

import numpy as np
from pydantic import Field

from curation.selection.method import (
    LongestPicks,
    MethodConfig,
    Picked,
    Picker,
    SelectionContext,
    interleave,
)
from curation.selection.quantized_vectors import QuantizedVectors
from curation.selection.quotas import allocate
from medsift.arrays import Doubles, Floats, Indices

SAME_CENTROID: Final = 0.9
"""Cosine above which two centroids count as one: that they agree says nothing of transfer."""
_ROWS_AT_A_TIME: Final = 1024


class ClusterTemperatureConfig(MethodConfig):
    """Settings of `cluster_temperature`: cluster quotas P_i ∝ exp(S_i / (τ D_i)), then greedy MMD.

    Lee et al. 2024, "Concept-skill transferability-based data selection" (COINCIDE, arXiv
    2406.10995), as in its released code: S_i, the transferability of cluster i, is the mean cosine
    of its centroid to the other centroids, those above 0.9 left out; D_i, its density, the mean of
    the Gaussian kernel exp(−‖x − y‖² / 2) over all pairs of its members; τ the temperature. Within
    a cluster, each pick brings the maximum mean discrepancy between picks and cluster down the
    most. Here the clusters are those of the joint vectors, cut by stratum; what a cluster lacks of
    its quota goes to others as `allocate` says. Quality plays no part.
    """

    kind: Literal["cluster_temperature"] = "cluster_temperature"
    temperature: float = Field(default=0.1, gt=0.0)
    """τ: the lower, the more the clusters' quotas differ."""
    clusters: int | None = Field(default=None, ge=1)
    """Clusters of the pool; the square root of its size when not given."""

    def picker(self, context: SelectionContext) -> Picker:
        """Cluster the pool and measure densities once; each cluster is a task in a large pool."""
        centroids, label = context.cluster(self.clusters)
        logit = measure_transferability(centroids) / self.temperature
        vectors, groups = context.candidates.quantized, context.groups
        # A cluster cut by group is a part; parts are numbered by group, then by cluster.
        part_names, part = np.unique(groups.code * len(centroids) + label, return_inverse=True)
        group, cluster = np.divmod(part_names, len(centroids))
        members = np.split(np.argsort(part, kind="stable"), np.cumsum(np.bincount(part))[:-1])
        density = context.spread(partial(measure_density, vectors), members)
        exponent = logit[cluster] / np.array(density)
        sizes = np.array([len(rows) for rows in members], np.int64)
        longest = LongestPicks(len(members))

        def pick(counts: Indices) -> Picked:
            quotas = np.zeros(len(members), np.int64)
            for number, wanted in enumerate(counts.tolist()):
                own = group == number
                if wanted:
                    quotas[own] = share_out(sizes[own], exponent[own], wanted)
            task = partial(pick_typical, vectors, members, quotas)
            picks = longest.first(quotas, lambda parts: context.spread(task, parts))
            return interleave(
                [
                    interleave([picks[place] for place in np.flatnonzero(group == number)])
                    for number in range(len(counts))
                ]
            )

        return pick


def measure_density(vectors: QuantizedVectors, members: Indices) -> float:
    """Return the mean of the Gaussian kernel over all pairs of some samples."""
    sums = Kernel(vectors.take(members)).sums
    return float(sums.mean() / len(sums))


def share_out(sizes: Indices, exponent: Doubles, wanted: int) -> Indices:
    """Return the quotas (k,) of one group's clusters, in proportion to exp(exponent)."""
    # Less the greatest exponent: the ratios are the same, and nothing overflows. A share that
    # rounds to 0 becomes the least number, since a weight of 0 would put its cluster last.
    share = np.maximum(np.exp(exponent - exponent.max()), np.finfo(np.float64).tiny)
    return allocate(sizes, share, wanted, least=0)


def pick_typical(
    vectors: QuantizedVectors, members: list[Indices], quotas: Indices, number: int
) -> Picked:
    """Return the picks of one of some clusters, by greedy MMD.

    Args:
        vectors: The joint vectors of all samples.
        members: The rows of each cluster.
        quotas: Samples to pick of each cluster.
        number: The cluster.
    """
    rows, quota = members[number], int(quotas[number])
    order = rows[greedy_mmd(Kernel(vectors.take(rows)), quota)]
    return Picked(order, np.full(quota, np.nan))


class Kernel:
    """The Gaussian kernel exp(−‖x − y‖² / 2) among the m rows of a cluster.

    `sums` (m,) are those of its rows. `matrix` is the whole kernel where the cluster is small.
    """

    def __init__(self, vectors: QuantizedVectors) -> None:
        self.vectors, self.squares = vectors, vectors.squared_norms()
        m = len(vectors)
        starts = range(0, m, _ROWS_AT_A_TIME)
        blocks = [np.arange(start, min(start + _ROWS_AT_A_TIME, m)) for start in starts]
        self.matrix = self.columns(blocks[0]) if len(blocks) == 1 else None
        # The kernel is symmetric: sums of columns are sums of rows.
        parts = (self.columns(rows) if self.matrix is None else self.matrix for rows in blocks)
        self.sums: Doubles = np.concatenate([part.sum(axis=0) for part in parts])

    def columns(self, rows: Indices) -> Doubles:
        """Compute the kernel (m, r) of all rows with some."""
        square = self.vectors.squared_distances(self.squares, rows) / self.vectors.scale**2
        return np.asarray(np.exp(-0.5 * square))

    def column(self, row: int) -> Doubles:
        """Return the kernel (m,) of all rows with one."""
        if self.matrix is None:
            return self.columns(np.array([row]))[:, 0]
        return self.matrix[:, row]


def measure_transferability(centroids: Floats) -> Doubles:
    """Return the mean cosine (k,) of each centroid to those others that are not nearly its own."""
    cosine = centroids.astype(np.float64) @ centroids.T.astype(np.float64)
    np.fill_diagonal(cosine, 1.0)
    others = cosine <= SAME_CENTROID
    count = others.sum(axis=1)
    total = np.where(others, cosine, 0.0).sum(axis=1)
    mean: Doubles = np.divide(total, count, out=np.zeros(len(cosine)), where=count > 0)
    return mean


def greedy_mmd(kernel: Kernel, count: int) -> Indices:
    """Return rows (count,) in the order in which each lowers the discrepancy to all rows the most.

    MMD² of picks S is Σ_{s,t∈S} k(s, t) / |S|² − 2 Σ_{s∈S} sums_s / (|S| m) + a constant; of equal
    rows the first is taken.
    """
    sums, m = kernel.sums, len(kernel.sums)
    free = np.ones(m, np.bool_)
    to_picks, within, along = np.zeros(m), 0.0, 0.0
    order = []
    for size in range(1, count + 1):
        # Both sums grow by one row at a time: a step costs m, and not m times the picks.
        inner = within + 2.0 * to_picks + 1.0
        discrepancy = inner / size**2 - 2.0 * (along + sums) / (size * m)
        best = int(np.argmin(np.where(free, discrepancy, np.inf)))
        order.append(best)
        free[best], within, along = False, float(inner[best]), along + float(sums[best])
        to_picks += kernel.column(best)
    return np.array(order, np.int64)
