"""Represent the pool's neighbour graph as a sparse matrix of whole numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from curation.pool import KnnGraph
from medsift.arrays import Indices, Narrow
from medsift.storage.scratch import scratch_zeros

UNIT: Final = 1 << 20
"""Whole number of a similarity of 1: sums of whole numbers are equal in every order."""
ROWS_AT_A_TIME: Final = 1 << 14


@dataclass(frozen=True, slots=True)
class Similarities:
    """Similarities of n samples in units of 1 / UNIT, as a sparse `matrix` (n, n) of rows (CSR).

    Row i has the samples that i is similar to, itself among them; all others are at 0. The entries
    of a large matrix are mapped from files in `scratch`.
    """

    matrix: Any
    scratch: Path | None = None

    def __len__(self) -> int:
        """Count the samples."""
        return int(self.matrix.shape[0])

    def rows(self, chosen: Indices) -> tuple[Narrow, Narrow, Narrow]:
        """Return some rows (m,): their starts (m + 1,), other samples (e,) and values (e,)."""
        part = self.matrix[chosen]
        return part.indptr, part.indices, part.data

    def scale_rows(self, factor: Indices, unit: int) -> Similarities:
        """Return the matrix with row i times `factor[i]` (n,) / `unit`, rounded down."""
        return self.revalue(lambda row, value: value * factor[row] // unit)

    def revalue(self, compute: Callable[[Indices, Narrow], Indices]) -> Similarities:
        """Return the matrix with other values: `compute` is given rows (e,) and values (e,)."""
        start, value = self.matrix.indptr, self.matrix.data
        new = scratch_zeros(value.shape, np.int32, self.scratch)
        for rows in _blocks(len(self)):
            borders = start[rows.start : rows.stop + 1].astype(np.int64)
            row = np.repeat(np.arange(rows.start, rows.stop), np.diff(borders))
            entries = slice(int(borders[0]), int(borders[-1]))
            new[entries] = compute(row, value[entries])
        return _matrix(start, self.matrix.indices, new, self.scratch)


def make_symmetric(graph: KnnGraph, scratch: Path | None = None) -> Similarities:
    """Make the graph symmetric: two samples are similar if either is a neighbour of the other.

    A sample is at 1 to itself; cosines below 0, and pairs without an edge, are at 0. A large matrix
    is mapped from files in `scratch`.
    """
    n = len(graph)
    back = _Reversed(graph, scratch)
    start = np.zeros(n + 1, np.int64)
    most = n + 2 * int(back.start[-1])
    other, value = (scratch_zeros((most,), np.int32, scratch) for _ in range(2))
    for rows in _blocks(n):
        itself = np.arange(rows.start, rows.stop)
        row, neighbour, cosine = _edges(graph, rows)
        # Of the three kinds of entries: itself, its neighbours, whose neighbour it is.
        key = np.concatenate([itself, row, back.rows(rows)]) * n
        key += np.concatenate([itself, neighbour, back.source[back.entries(rows)]])
        worth = np.concatenate(
            [np.full(len(itself), UNIT, np.int32), cosine, back.value[back.entries(rows)]]
        )
        order = np.argsort(key, kind="stable")
        key = key[order]
        starts = np.flatnonzero(np.diff(key, prepend=-1))
        at = int(start[rows.start])
        # An approximate search gives the two directions of a pair different cosines: the greater
        # wins.
        value[at : at + len(starts)] = np.maximum.reduceat(worth[order], starts)
        other[at : at + len(starts)] = key[starts] % n
        size = np.bincount(key[starts] // n - rows.start, minlength=len(itself))
        start[rows.start + 1 : rows.stop + 1] = at + np.cumsum(size)
    return _matrix(start, other[: start[-1]], value[: start[-1]], scratch)


class _Reversed:
    """The graph's edges by the sample that they lead to: `source` and `value` (e,) of each.

    Those that lead to sample i are entries `start[i]` to `start[i + 1]`.
    """

    def __init__(self, graph: KnnGraph, scratch: Path | None) -> None:
        size = np.zeros(len(graph), np.int64)
        for rows in _blocks(len(graph)):
            size += np.bincount(_edges(graph, rows)[1], minlength=len(graph))
        self.start = np.concatenate([np.zeros(1, np.int64), np.cumsum(size)])
        shape = (int(self.start[-1]),)
        self.source, self.value = (scratch_zeros(shape, np.int32, scratch) for _ in range(2))
        free = self.start[:-1].copy()
        for rows in _blocks(len(graph)):
            source, target, value = _edges(graph, rows)
            order = np.argsort(target, kind="stable")
            target = target[order]
            reached, first, count = np.unique(target, return_index=True, return_counts=True)
            place = free[target] + np.arange(len(target)) - np.repeat(first, count)
            self.source[place], self.value[place] = source[order], value[order]
            free[reached] += count

    def entries(self, rows: slice) -> slice:
        """Return the entries that lead to some samples."""
        return slice(int(self.start[rows.start]), int(self.start[rows.stop]))

    def rows(self, rows: slice) -> Indices:
        """Return the sample that each of those entries leads to."""
        size = np.diff(self.start[rows.start : rows.stop + 1])
        return np.repeat(np.arange(rows.start, rows.stop), size)


def _blocks(count: int) -> list[slice]:
    starts = range(0, count, ROWS_AT_A_TIME)
    return [slice(start, min(start + ROWS_AT_A_TIME, count)) for start in starts]


def _edges(graph: KnnGraph, rows: slice) -> tuple[Indices, Indices, Narrow]:
    """Return the edges (e,) from some samples that are above 0: from, to, and value."""
    cosine = np.clip(graph.similarity[rows].astype(np.float64), 0.0, 1.0)
    value = np.rint(np.where(graph.index[rows] >= 0, cosine, 0.0) * UNIT).astype(np.int32)
    row, place = np.nonzero(value)
    return row + rows.start, graph.index[rows][row, place].astype(np.int64), value[row, place]


def _matrix(start: Indices, other: Narrow, value: Narrow, scratch: Path | None) -> Similarities:
    from scipy.sparse import csr_array  # type: ignore[import-untyped]

    n = len(start) - 1
    return Similarities(csr_array((value, other, start), shape=(n, n)), scratch)
