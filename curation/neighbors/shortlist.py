"""Narrow the best candidates of each row tile by tile and decide them exactly at the end."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from curation.neighbors.cosine import HAS_TORCH, exact_cosine, tensor_of
from medsift.arrays import Doubles, Floats, Indices, Narrow
from medsift.storage.scratch import scratch_zeros

if TYPE_CHECKING:
    import torch

SPARE = 8  # candidates kept beyond k, so that rounding seldom leaves a row in doubt


@dataclass(slots=True)
class Shortlist:
    """Candidates of m rows: `index` (m, k + SPARE), -1 for none, and `value`, float32 cosines.

    `dropped` (m,) is the largest value that was ever left out of the row. A row whose k-th
    value is clear of it by twice the rounding has its true k nearest.
    """

    index: Narrow
    value: Floats
    dropped: Floats

    @classmethod
    def empty(cls, rows: int, k: int, scratch: Path | None = None) -> Shortlist:
        """Return `rows` rows that have seen no candidate; many are mapped from files."""
        index = scratch_zeros((rows, k + SPARE), np.int32, scratch)
        value = scratch_zeros((rows, k + SPARE), np.float32, scratch)
        index[:], value[:] = -1, -np.inf
        return cls(index, value, np.full(rows, -np.inf, dtype=np.float32))

    def take(self, rows: slice) -> Shortlist:
        """Return the shortlist of some rows."""
        return Shortlist(self.index[rows], self.value[rows], self.dropped[rows])

    def add(self, rows: slice, other: Shortlist) -> None:
        """Take the candidates of another shortlist into these rows."""
        value = np.concatenate([self.value[rows], other.value], axis=1)
        index = np.concatenate([self.index[rows], other.index], axis=1)
        best, place = largest(value, self.value.shape[1] + 1)
        self.value[rows] = best[:, :-1]
        self.index[rows] = np.take_along_axis(index, place[:, :-1], axis=1)
        left_out = np.maximum(other.dropped, best[:, -1])
        self.dropped[rows] = np.maximum(self.dropped[rows], left_out)


def shortlist_of(product: torch.Tensor | Floats, k: int, first: int) -> Shortlist:
    """Return the best of each row of product (m, c); its column j is candidate `first` + j.

    A value of -inf marks a pair that is no candidate.
    """
    shortlist = Shortlist.empty(len(product), k)
    kept = min(k + SPARE, product.shape[1])
    # One more than is kept: it is the largest value that is left out.
    best, column = largest(product, min(kept + 1, product.shape[1]))
    shortlist.value[:, :kept] = best[:, :kept]
    shortlist.index[:, :kept] = np.where(np.isneginf(best), -1, column + first)[:, :kept]
    if best.shape[1] > kept:
        shortlist.dropped[:] = best[:, -1]
    return shortlist


def largest(values: torch.Tensor | Floats, count: int) -> tuple[Floats, Indices]:
    """Return the largest of each row of values (m, c), best first, and their columns (m, count)."""
    if HAS_TORCH:
        import torch

        given = tensor_of(values) if isinstance(values, np.ndarray) else values
        best, place = torch.topk(given, count, dim=1)
        return best.float().cpu().numpy(), place.cpu().numpy()
    array: Floats = np.asarray(values)
    column: Indices = np.argpartition(-array, count - 1, axis=1)[:, :count]
    order = np.argsort(-np.take_along_axis(array, column, axis=1), axis=1)
    column = np.take_along_axis(column, order, axis=1)
    return np.take_along_axis(array, column, axis=1), column


class Decider:
    """Decides shortlists of rows exactly.

    Args:
        vectors: Nearly unit vectors (n, d).
        error: Bound on the rounding of the shortlists' values.
        names: Of the rows (n,), for ties.
        earlier: Whether only rows before a row are its candidates.
    """

    def __init__(self, vectors: Floats, error: float, names: Indices, *, earlier: bool) -> None:
        self.vectors, self.error, self.names, self.earlier = vectors, error, names, earlier

    def decide(self, shortlist: Shortlist, first: int, k: int) -> tuple[Indices, Doubles]:
        """Return the k nearest rows (m, k) and exact cosines (m, k) of the rows from `first` on.

        Best first, equal cosines by smaller name. Missing neighbours are -1 with cosine -inf.
        """
        # Both values may be off by the error, in opposite directions.
        bar = shortlist.value[:, k - 1].astype(np.float64) - 2.0 * self.error
        doubtful = np.isfinite(shortlist.dropped) & (shortlist.dropped >= bar)
        candidates = shortlist.index.astype(np.int64)
        row, column = np.nonzero((candidates >= 0) & (shortlist.value >= bar[:, None]))
        cosine = np.full(candidates.shape, -np.inf)
        cosine[row, column] = exact_cosine(self.vectors, row + first, candidates[row, column])
        # Ties go by name, not by place: the result must not depend on the order of rows.
        name = np.where(candidates >= 0, self.names[candidates], len(self.names))
        order = np.lexsort((name, -cosine), axis=1)[:, :k]
        best = np.take_along_axis(cosine, order, axis=1)
        index = np.take_along_axis(candidates, order, axis=1)
        index = np.where(np.isneginf(best), -1, index)
        for place in np.flatnonzero(doubtful).tolist():
            self._decide_again(first + place, index[place], best[place])
        return index, best

    @cached_property
    def _distinct(self) -> tuple[Floats, Indices, Indices]:
        """The distinct vectors (m, d), a row (m,) that has each, and which of them each row has."""
        packed = np.ascontiguousarray(self.vectors).view(
            np.dtype((np.void, self.vectors.itemsize * self.vectors.shape[1]))
        )
        _, distinct, member = np.unique(packed.ravel(), return_index=True, return_inverse=True)
        return self.vectors[distinct], distinct, member

    def _decide_again(self, row: int, index: Indices, cosine: Doubles) -> None:
        """Decide a row among more near-equals than a shortlist holds, against all rows.

        Equal vectors are the usual cause, so each distinct vector is compared once.
        """
        table, distinct, member = self._distinct
        candidates = np.arange(row if self.earlier else len(self.vectors))
        candidates = candidates[candidates != row]
        groups = member[candidates]
        # Cheap products rule most rows out; only those within the error are decided exactly.
        value = table @ self.vectors[row]
        k = min(len(index), len(candidates))
        last = np.partition(value[groups], len(groups) - k)[len(groups) - k]
        close = np.flatnonzero(value >= last - 2.0 * self.error)
        exact = np.full(len(table), -np.inf)
        exact[close] = exact_cosine(self.vectors, np.full(len(close), row), distinct[close])
        order = np.lexsort((self.names[candidates], -exact[groups]))[:k]
        index[:k], cosine[:k] = candidates[order], exact[groups[order]]
