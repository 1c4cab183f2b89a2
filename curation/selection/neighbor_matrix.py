"""Hold the pool's neighbour graph as a sparse matrix of whole numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from curation.pool import KnnGraph
from medsift.arrays import Indices

Narrow = NDArray[np.int32]

UNIT: Final = 1 << 20
"""Whole numbers to a similarity of 1: sums of them come out the same in whatever order."""


@dataclass(frozen=True, slots=True)
class Similarities:
    """Similarities of n samples in units of 1 / UNIT, as a sparse `matrix` (n, n) of rows (CSR).

    Row i holds the samples that i is similar to, itself among them; all others are at 0.
    """

    matrix: Any

    def __len__(self) -> int:
        """Count the samples."""
        return int(self.matrix.shape[0])

    def rows(self, chosen: Indices) -> tuple[Narrow, Narrow, Narrow]:
        """Some rows (m,): where each starts (m + 1,), the other samples (e,), the values (e,)."""
        some = self.matrix[chosen]
        return some.indptr, some.indices, some.data

    def scaled(self, factor: Indices, unit: int) -> Similarities:
        """Row i times `factor[i]` (n,) / `unit`, rounded down."""
        from scipy.sparse import csr_array  # type: ignore[import-untyped]

        held = self.matrix
        each = np.repeat(factor, np.diff(held.indptr))
        value = (held.data * each // unit).astype(np.int32)
        return Similarities(csr_array((value, held.indices, held.indptr), shape=held.shape))


def similarities(graph: KnnGraph) -> Similarities:
    """Make the graph symmetric: two samples are similar if either is a neighbour of the other.

    A sample is at 1 to itself; cosines below 0, and pairs without an edge, are at 0.
    """
    from scipy.sparse import csr_array

    n, k = graph.index.shape
    itself = np.arange(n, dtype=np.int32)[:, None]
    # A neighbour that is missing becomes the sample itself at 0, which adds nothing to its 1.
    there = graph.index >= 0
    other = np.hstack([itself, np.where(there, graph.index, itself).astype(np.int32)])
    cosine = np.clip(np.where(there, graph.similarity, 0.0), 0.0, 1.0)
    value = np.rint(np.hstack([np.ones((n, 1)), cosine]) * UNIT).astype(np.int32)
    start = np.arange(n + 1, dtype=np.int64) * (k + 1)
    listed = csr_array((value.ravel(), other.ravel(), start), shape=(n, n))
    listed.sum_duplicates()
    return Similarities(listed.maximum(listed.T.tocsr()))
