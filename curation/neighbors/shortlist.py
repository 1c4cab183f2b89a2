"""Narrow the best candidates of each row tile by tile and decide them exactly at the end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from curation.neighbors.cosine import exact_cosine, tensor_of
from medsift.arrays import Doubles, Floats, Indices

if TYPE_CHECKING:
    import torch

SPARE = 8  # candidates kept beyond k, so that rounding seldom leaves a row in doubt


@dataclass(slots=True)
class Shortlist:
    """Candidates of m rows: `index` (m, k + SPARE), -1 for none, and `value`, float32 cosines.

    `dropped` (m,) is the largest value that was ever left out of the row. A row whose k-th
    value is clear of it by twice the rounding has its true k nearest.
    """

    index: Indices
    value: Floats
    dropped: Floats

    @classmethod
    def empty(cls, rows: int, k: int) -> Shortlist:
        """Return `rows` rows that have seen no candidate."""
        return cls(
            np.full((rows, k + SPARE), -1, dtype=np.int64),
            np.full((rows, k + SPARE), -np.inf, dtype=np.float32),
            np.full(rows, -np.inf, dtype=np.float32),
        )

    def add(self, rows: slice, other: Shortlist) -> None:
        """Take the candidates of another shortlist into these rows."""
        import torch

        value = torch.cat([tensor_of(self.value[rows]), tensor_of(other.value)], dim=1)
        index = torch.cat([tensor_of(self.index[rows]), tensor_of(other.index)], dim=1)
        best, place = value.topk(self.value.shape[1] + 1, dim=1)
        self.value[rows] = best[:, :-1].numpy()
        self.index[rows] = index.gather(1, place[:, :-1]).numpy()
        left_out = np.maximum(other.dropped, best[:, -1].numpy())
        self.dropped[rows] = np.maximum(self.dropped[rows], left_out)


def shortlist_of(product: torch.Tensor, k: int, first: int) -> Shortlist:
    """Return the best of each row of product (m, c); its column j is candidate `first` + j.

    A value of -inf marks a pair that is no candidate.
    """
    shortlist = Shortlist.empty(len(product), k)
    kept = min(k + SPARE, product.shape[1])
    # One more than is kept: it is the largest value that is left out.
    best, column = product.topk(min(kept + 1, product.shape[1]), dim=1)
    best, column = best.cpu(), column.cpu()
    index = (column[:, :kept] + first).masked_fill(best[:, :kept].isneginf(), -1)
    shortlist.value[:, :kept] = best[:, :kept].numpy()
    shortlist.index[:, :kept] = index.numpy()
    if best.shape[1] > kept:
        shortlist.dropped[:] = best[:, -1].numpy()
    return shortlist


def decide(
    vectors: Floats, shortlist: Shortlist, k: int, error: float, names: Indices, *, earlier: bool
) -> tuple[Indices, Doubles]:
    """Return each row's k nearest rows (n, k) and exact cosines (n, k), best first.

    Equal cosines go by smaller name. Missing neighbours are -1 with cosine -inf.

    Args:
        vectors: Nearly unit vectors (n, d).
        shortlist: Candidates of each row.
        k: How many neighbours.
        error: Bound on the rounding of the shortlist's values.
        names: Of the rows (n,), for ties.
        earlier: Whether only rows before a row are its candidates.
    """
    # Both values may be off by the error, in opposite directions.
    bar = shortlist.value[:, k - 1].astype(np.float64) - 2.0 * error
    doubtful = np.isfinite(shortlist.dropped) & (shortlist.dropped >= bar)
    row, column = np.nonzero((shortlist.index >= 0) & (shortlist.value >= bar[:, None]))
    cosine = np.full(shortlist.value.shape, -np.inf)
    cosine[row, column] = exact_cosine(vectors, row, shortlist.index[row, column])
    # Ties go by name, not by place: the result must not depend on the order of rows.
    name = np.where(shortlist.index >= 0, names[shortlist.index], len(names))
    order = np.lexsort((name, -cosine), axis=1)[:, :k]
    best = np.take_along_axis(cosine, order, axis=1)
    index = np.take_along_axis(shortlist.index, order, axis=1)
    index = np.where(np.isneginf(best), -1, index)
    rows = np.flatnonzero(doubtful)
    if len(rows):
        _decide_again(vectors, rows, index, best, error, names, earlier=earlier)
    return index, best


def _decide_again(
    vectors: Floats,
    rows: Indices,
    index: Indices,
    cosine: Doubles,
    error: float,
    names: Indices,
    *,
    earlier: bool,
) -> None:
    """Decide rows among more near-equals than a shortlist holds, against all rows.

    Equal vectors are the usual cause, so each distinct vector is compared once.
    """
    packed = np.ascontiguousarray(vectors).view(
        np.dtype((np.void, vectors.itemsize * vectors.shape[1]))
    )
    _, distinct, member = np.unique(packed.ravel(), return_index=True, return_inverse=True)
    table = vectors[distinct]
    for row in rows.tolist():
        candidates = np.arange(row if earlier else len(vectors))
        candidates = candidates[candidates != row]
        groups = member[candidates]
        # Cheap products rule most rows out; only those within the error are decided exactly.
        value = table @ vectors[row]
        k = min(index.shape[1], len(candidates))
        last = np.partition(value[groups], len(groups) - k)[len(groups) - k]
        close = np.flatnonzero(value >= last - 2.0 * error)
        exact = np.full(len(table), -np.inf)
        exact[close] = exact_cosine(vectors, np.full(len(close), row), distinct[close])
        order = np.lexsort((names[candidates], -exact[groups]))[:k]
        index[row, :k], cosine[row, :k] = candidates[order], exact[groups[order]]
