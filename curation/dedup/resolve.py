"""Decide the fate of every sample: kept, or dropped for one that is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from curation.dedup.samples import Links
from curation.dedup.schemas import EXACT_COPY, REASONS
from curation.neighbors import Pairs, greedy_survivors
from medsift.arrays import Doubles, Flags, Indices


@dataclass(frozen=True, slots=True)
class Fates:
    """What became of n rows: `witness` (n,) is the kept row a dropped one repeats, else -1.

    `reason` (n,) is a place in `REASONS`, `value` (n,) the similarity to the witness, `threshold`
    (n,) the similarity that was enough; all three are meaningless for kept rows.
    """

    witness: Indices
    reason: Indices
    value: Doubles
    threshold: Doubles

    @property
    def kept(self) -> Flags:
        """Return which rows (n,) stay."""
        return self.witness < 0


def first_of_content(sample_ids: Sequence[str], order: Indices) -> Indices:
    """Return for each row (n,) the row of equal content that comes first in `order`."""
    # Equal content is one row to the searches: copies would multiply every pair.
    best: dict[str, int] = {}
    for row in order.tolist():
        best.setdefault(sample_ids[row], row)
    return np.array([best[sample] for sample in sample_ids], dtype=np.int64)


def decide(order: Indices, first: Indices, links: Links) -> Fates:
    """Drop rows, best first by `order` (n,), only for rows that stay.

    `first` (n,) gives each row the first of equal content; `links` are pairs between such firsts.
    """
    n = len(order)
    witness = greedy_survivors(n, Pairs.of(links.left, links.right, links.value), order)
    dropped = np.flatnonzero(witness >= 0)
    reason = np.full(n, REASONS.index(EXACT_COPY), np.int64)
    value, threshold = np.ones(n), np.ones(n)

    # Two rows may be linked for several reasons. The ledger names the strongest, as `REASONS`
    # orders them, and of equal reasons the nearest.
    key = _pair_key(links.left, links.right, n)
    by_strength = np.lexsort((-links.value, links.reason, key))
    wanted = _pair_key(dropped, witness[dropped], n)
    link = by_strength[np.searchsorted(key[by_strength], wanted, side="left")]
    reason[dropped], value[dropped] = links.reason[link], links.value[link]
    threshold[dropped] = links.threshold[link]

    copy = first != np.arange(n)
    orphan = copy & (witness[first] >= 0)
    witness[copy] = first[copy]
    # A witness must be kept: a copy of a dropped row takes over that row's witness and reason.
    for column in (witness, reason, value, threshold):
        column[orphan] = column[first[orphan]]
    return Fates(witness, reason, value, threshold)


def _pair_key(left: Indices, right: Indices, n: int) -> Indices:
    """Number unordered pairs (p,) of n rows, so that they can be sorted and looked up."""
    return np.minimum(left, right) * n + np.maximum(left, right)
