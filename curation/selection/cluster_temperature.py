"""COINCIDE: more from clusters that teach much and vary much, the most typical of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from pydantic import Field

from curation.selection.clusters import pool_clusters
from curation.selection.method import MethodConfig, Picked, Picker, SelectionContext, interleaved
from curation.selection.quantized_vectors import Lattice
from curation.selection.quotas import allocate
from medsift.arrays import Doubles, Floats, Indices

_SAME: Final = 0.9
_ROWS: Final = 1024


class ClusterTemperatureConfig(MethodConfig):
    """Cluster quotas P_i ∝ exp(S_i / (τ D_i)), then the picks of a cluster by greedy MMD.

    Lee et al. 2024, "Concept-skill transferability-based data selection" (COINCIDE, arXiv
    2406.10995), as in its released code: S_i, the transferability of cluster i, is the mean cosine
    of its centroid to the other centroids, those above 0.9 left out; D_i, its density, the mean of
    the Gaussian kernel exp(−‖x − y‖² / 2) over all pairs of its members; τ the temperature. Within
    a cluster, each pick brings the maximum mean discrepancy between picks and cluster down the
    most. Here the clusters are those of the joint vectors, cut by stratum; what a cluster lacks of
    its quota flows on as `allocate` says. Quality plays no part.
    """

    kind: Literal["cluster_temperature"] = "cluster_temperature"
    temperature: float = Field(default=0.1, gt=0.0)
    clusters: int | None = Field(default=None, ge=1)
    """Clusters of the pool; the square root of its size when not given."""

    def picker(self, context: SelectionContext) -> Picker:
        """Cluster the pool once; then each group is a task where the pool is large."""
        centroids, label = pool_clusters(context, self.clusters)
        logit = _transferability(centroids) / self.temperature
        vectors, code = context.candidates.lattice, context.groups.code

        def pick(counts: Indices) -> Picked:
            task = ClusterPicks(vectors, code, label, logit, counts)
            return interleaved(context.spread(task, range(len(counts))))

        return pick


@dataclass(frozen=True, slots=True)
class ClusterPicks:
    """Picks of one group; picklable, and callable with the group's number.

    `label` (n,) is each sample's cluster, `logit` (k,) each cluster's S / τ.
    """

    vectors: Lattice
    code: Indices
    label: Indices
    logit: Doubles
    counts: Indices

    def __call__(self, group: int) -> Picked:
        """Places of the group's picks, the clusters interleaved."""
        members = np.flatnonzero(self.code == group)
        wanted = int(self.counts[group])
        if not wanted:
            return Picked(np.empty(0, np.int64), np.zeros(0))
        present = np.unique(self.label[members])
        clusters = [members[self.label[members] == cluster] for cluster in present]
        counts = self._counts(clusters, self.logit[present], wanted)
        picks = [
            cluster[greedy_mmd(Kernel(self.vectors.some(cluster)), count)]
            for cluster, count in zip(clusters, counts.tolist(), strict=True)
            if count
        ]
        return interleaved([Picked(order, np.full(len(order), np.nan)) for order in picks])

    def _counts(self, clusters: list[Indices], logit: Doubles, wanted: int) -> Indices:
        """Samples to take from each cluster."""
        sums = [Kernel(self.vectors.some(cluster)).sums for cluster in clusters]
        density = np.array([some.mean() / len(some) for some in sums])
        exponent = logit / density
        # A shift by the greatest leaves all ratios and cannot overflow.
        share = np.maximum(np.exp(exponent - exponent.max()), np.finfo(np.float64).tiny)
        sizes = np.array([len(cluster) for cluster in clusters], np.int64)
        return allocate(sizes, share, wanted, floor=0)


class Kernel:
    """The Gaussian kernel exp(−‖x − y‖² / 2) among the rows (m) of a cluster.

    `sums` (m,) are those of its rows. The matrix is held where it is small.
    """

    def __init__(self, vectors: Lattice) -> None:
        self.vectors, self.squares = vectors, vectors.squares()
        m = len(vectors)
        rows = [np.arange(start, min(start + _ROWS, m)) for start in range(0, m, _ROWS)]
        self.held = self._columns(rows[0]) if len(rows) == 1 else None
        # The kernel is symmetric: sums of rows are sums of columns.
        parts = (self._columns(some) if self.held is None else self.held for some in rows)
        self.sums: Doubles = np.concatenate([part.sum(axis=0) for part in parts])

    def column(self, row: int) -> Doubles:
        """Kernel (m,) of all rows with one."""
        return self._columns(np.array([row]))[:, 0] if self.held is None else self.held[:, row]

    def _columns(self, rows: Indices) -> Doubles:
        square = self.vectors.distances(self.squares, rows) / self.vectors.scale**2
        found: Doubles = np.exp(-0.5 * square)
        return found


def _transferability(centroids: Floats) -> Doubles:
    """Mean cosine (k,) of each centroid to those others that are not the same in all but name."""
    cosine = centroids.astype(np.float64) @ centroids.T.astype(np.float64)
    np.fill_diagonal(cosine, 1.0)
    other = cosine <= _SAME
    count = other.sum(axis=1)
    total = np.where(other, cosine, 0.0).sum(axis=1)
    found: Doubles = np.divide(total, count, out=np.zeros(len(cosine)), where=count > 0)
    return found


def greedy_mmd(kernel: Kernel, count: int) -> Indices:
    """Rows (count,) in the order in which each lowers the discrepancy to all m rows the most.

    MMD² of picks S is Σ_{s,t∈S} k(s, t) / |S|² − 2 Σ_{s∈S} sums_s / (|S| m) + a constant; of equal
    rows the first is taken.
    """
    sums, m = kernel.sums, len(kernel.sums)
    left = np.ones(m, np.bool_)
    to_picks, within, along = np.zeros(m), 0.0, 0.0
    order = []
    for size in range(1, count + 1):
        inner = within + 2.0 * to_picks + 1.0
        value = inner / size**2 - 2.0 * (along + sums) / (size * m)
        best = int(np.argmin(np.where(left, value, np.inf)))
        order.append(best)
        left[best], within, along = False, float(inner[best]), along + float(sums[best])
        to_picks += kernel.column(best)
    return np.array(order, np.int64)
