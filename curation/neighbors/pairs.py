"""Represent pairs of rows, find those of near codes, and derive survivors from pairs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medsift.arrays import Doubles, Flags, Indices
from medsift.errors import UsageError

CODE_BITS = 64
CODE_ROWS = 256
CODE_COLUMNS = 16_384  # a tile of both takes 32 MiB of exclusive ors


@dataclass(frozen=True, slots=True)
class Pairs:
    """Similar rows: `left` < `right` (p,), sorted by (left, right), with `similarity` (p,)."""

    left: Indices
    right: Indices
    similarity: Doubles

    def __len__(self) -> int:
        """Count the pairs."""
        return len(self.left)

    @classmethod
    def empty(cls) -> Pairs:
        """Return no pairs."""
        none = np.empty(0, dtype=np.int64)
        return cls(none, none, np.empty(0, dtype=np.float64))

    @classmethod
    def of(cls, ends: Indices, others: Indices, similarity: Doubles) -> Pairs:
        """Orient and sort pairs of unequal rows, each given once."""
        left, right = np.minimum(ends, others), np.maximum(ends, others)
        order = np.lexsort((right, left))
        return cls(left[order], right[order], similarity[order])

    def where(self, mask: Flags) -> Pairs:
        """Return the pairs (p',) that the mask (p,) keeps."""
        return Pairs(self.left[mask], self.right[mask], self.similarity[mask])

    def renamed(self, names: Indices) -> Pairs:
        """Return the same pairs between rows `names[left]` and `names[right]`."""
        return Pairs.of(names[self.left], names[self.right], self.similarity)


def join_pairs(parts: Iterable[Pairs]) -> Pairs:
    """Return disjoint lists of pairs as one, sorted."""
    listed = [Pairs.empty(), *parts]
    columns = ([getattr(part, name) for part in listed] for name in Pairs.__slots__)
    return Pairs.of(*map(np.concatenate, columns))


def iter_hamming(
    codes: NDArray[np.uint64], distance: int, fresh: Flags | None = None
) -> Iterator[Pairs]:
    """Yield pairs of codes (n,) that differ in `distance` bits or fewer, in no set order of tiles.

    With `fresh` (n,) only pairs that have a fresh code.

    `similarity` is 1 - 2 * bits / 64, the cosine of the codes as signs. No pair is missed or comes
    twice. Every pair of codes is looked at, at some 10**9 a second: an index of parts of a code
    would look at a sixth of them for 16 bits of 64, each at a higher price.
    """
    n = len(codes)
    if fresh is not None:
        # The fresh ones come first: their tiles meet every code once.
        order = np.concatenate([np.flatnonzero(fresh), np.flatnonzero(~fresh)])
        codes = codes[order]
    for top in range(0, n if fresh is None else int(fresh.sum()), CODE_ROWS):
        rows = codes[top : top + CODE_ROWS, None]
        if fresh is not None:
            rows = rows[: int(fresh.sum()) - top]
        for start in range(top, n, CODE_COLUMNS):
            apart = np.bitwise_count(rows ^ codes[start : start + CODE_COLUMNS])
            left, right = np.nonzero(apart <= distance)
            # Tiles on the diagonal meet each pair twice, and each row itself.
            above = left + top < right + start
            left, right = left[above], right[above]
            similarity = 1.0 - 2.0 * apart[left, right] / CODE_BITS
            pairs = Pairs(left.astype(np.int64) + top, right.astype(np.int64) + start, similarity)
            yield pairs if fresh is None else pairs.renamed(order)


def greedy_survivors(n: int, pairs: Pairs, order: Indices) -> Indices:
    """Return each row's witness (n,): the kept row that it repeats, or -1 for a kept row.

    Rows are taken in `order` (n,), best first; a row is dropped only if a row kept before it is
    its neighbour, and its witness is the first of those. Time grows with pairs, not with n.

    Raises:
        UsageError: `order` is not a permutation of 0 … n - 1.
    """
    rank = rank_of(n, order)
    ranks = rank[pairs.left], rank[pairs.right]
    earlier, later = np.minimum(*ranks), np.maximum(*ranks)
    by_earlier = np.argsort(earlier, kind="stable")
    earlier, later = earlier[by_earlier], later[by_earlier]
    heads, starts = np.unique(earlier, return_index=True)
    stops = np.append(starts, len(earlier))[1:]
    witness = np.full(n, -1, dtype=np.int64)
    # Heads come in rank order, so whoever reaches a row first is its earliest kept neighbour.
    for head, start, stop in zip(heads.tolist(), starts.tolist(), stops.tolist(), strict=True):
        if witness[head] < 0:
            reached = later[start:stop]
            witness[reached[witness[reached] < 0]] = head
    # From ranks back to rows; the last element answers for a witness of -1.
    return np.append(order, -1)[witness[rank]]


def rank_of(n: int, order: Indices) -> Indices:
    """Return the place (n,) of each row in `order` (n,).

    Raises:
        UsageError: `order` is not a permutation of 0 … n - 1.
    """
    rank = np.full(n, -1, dtype=np.int64)
    inside = order[(order >= 0) & (order < n)]
    rank[inside] = np.arange(len(inside))
    if len(order) != n or len(inside) != n or (rank < 0).any():
        raise UsageError(
            f"order has {len(order)} rows; pass each of the {n} rows exactly once",
            code="search_setting_invalid",
            rows=len(order),
        )
    return rank
