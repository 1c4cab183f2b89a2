"""The fate of every sample: kept, or dropped for one that is kept."""

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
    """What became of n rows: `witness` (n,) is the kept row a dropped one goes for, else -1.

    `reason` (n,) is a place in `REASONS`, `value` and `threshold` (n,) say how near and how near
    was enough; all are meaningless for kept rows.
    """

    witness: Indices
    reason: Indices
    value: Doubles
    threshold: Doubles

    @property
    def kept(self) -> Flags:
        """Rows (n,) that stay."""
        return self.witness < 0


def first_of_content(sample_ids: Sequence[str], order: Indices) -> Indices:
    """For each row (n,), the row of equal content that comes first in `order`."""
    best: dict[str, int] = {}
    for row in order.tolist():
        best.setdefault(sample_ids[row], row)
    return np.array([best[sample] for sample in sample_ids], dtype=np.int64)


def decide(order: Indices, first: Indices, links: Links) -> Fates:
    """Drop rows, best first by `order` (n,), only for rows that stay.

    `first` (n,) gives each row the first of equal content; `links` are pairs between such firsts.
    A copy of a row that itself is dropped goes for that row's witness.
    """
    n = len(order)
    pairs = Pairs.of(links.left, links.right, links.value)
    witness = greedy_survivors(n, pairs, order)
    dropped = np.flatnonzero(witness >= 0)
    reason = np.full(n, REASONS.index(EXACT_COPY), np.int64)
    value, threshold = np.ones(n), np.ones(n)
    chosen = _best_link(n, links, dropped, witness[dropped])
    reason[dropped], value[dropped] = links.reason[chosen], links.value[chosen]
    threshold[dropped] = links.threshold[chosen]
    copy = first != np.arange(n)
    orphan = copy & (witness[first] >= 0)
    witness[copy] = first[copy]
    for column in (witness, reason, value, threshold):
        column[orphan] = column[first[orphan]]
    return Fates(witness, reason, value, threshold)


def _best_link(n: int, links: Links, one: Indices, other: Indices) -> Indices:
    """Link of each pair (p,): the first reason in the order of `REASONS`, then the nearest."""
    key = np.minimum(links.left, links.right) * n + np.maximum(links.left, links.right)
    order = np.lexsort((-links.value, links.reason, key))
    wanted = np.minimum(one, other) * n + np.maximum(one, other)
    found: Indices = order[np.searchsorted(key[order], wanted, side="left")]
    return found
