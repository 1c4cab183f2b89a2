"""Represent the pool's neighbour graph as a sparse matrix of whole numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from curation.pool import KnnGraph
from medsift.arrays import Indices

Narrow = NDArray[np.int32]

UNIT: Final = 1 << 20
"""Whole number of a similarity of 1: sums of whole numbers are equal in every order."""


@dataclass(frozen=True, slots=True)
class Similarities:
    """Similarities of n samples in units of 1 / UNIT, as a sparse `matrix` (n, n) of rows (CSR).

    Row i has the samples that i is similar to, itself among them; all others are at 0.
    """

    matrix: Any

    def __len__(self) -> int:
        """Count the samples."""
        return int(self.matrix.shape[0])

    def rows(self, chosen: Indices) -> tuple[Narrow, Narrow, Narrow]:
        """Return some rows (m,): their starts (m + 1,), other samples (e,) and values (e,)."""
        part = self.matrix[chosen]
        return part.indptr, part.indices, part.data

    def scale_rows(self, factor: Indices, unit: int) -> Similarities:
        """Return the matrix with row i times `factor[i]` (n,) / `unit`, rounded down."""
        from scipy.sparse import csr_array  # type: ignore[import-untyped]

        start, other = self.matrix.indptr, self.matrix.indices
        value = self.matrix.data * np.repeat(factor, np.diff(start)) // unit
        matrix = csr_array((value.astype(np.int32), other, start), shape=self.matrix.shape)
        return Similarities(matrix)


def make_symmetric(graph: KnnGraph) -> Similarities:
    """Make the graph symmetric: two samples are similar if either is a neighbour of the other.

    A sample is at 1 to itself; cosines below 0, and pairs without an edge, are at 0.
    """
    from scipy.sparse import csr_array

    n, k = graph.index.shape
    itself = np.arange(n, dtype=np.int32)[:, None]
    # A neighbour that is missing becomes the sample itself at 0, which adds nothing to its 1.
    known = graph.index >= 0
    other = np.hstack([itself, np.where(known, graph.index, itself).astype(np.int32)])
    cosine = np.clip(np.where(known, graph.similarity, 0.0), 0.0, 1.0)
    value = np.rint(np.hstack([np.ones((n, 1)), cosine]) * UNIT).astype(np.int32)
    start = np.arange(n + 1, dtype=np.int64) * (k + 1)
    matrix = csr_array((value.ravel(), other.ravel(), start), shape=(n, n))
    matrix.sum_duplicates()
    # An approximate search gives the two directions of a pair different cosines: the greater wins.
    return Similarities(matrix.maximum(matrix.T.tocsr()))
