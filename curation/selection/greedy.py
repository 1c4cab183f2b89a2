"""Greedy maximisation of a facility-location objective, exact, in vectorised blocks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from curation.selection.neighbor_matrix import Narrow, Similarities
from medsift.arrays import Doubles, Flags, Indices

_BLOCKS = 32
_LEAST = 64
_AT_A_TIME = 1 << 18


@dataclass(frozen=True, slots=True)
class Picks:
    """Rows in the order in which greedy takes them (m,), and their gains (m,), whole numbers."""

    order: Indices
    gain: Doubles


def greedy(
    values: Similarities,
    mass: Indices,
    group: Indices,
    counts: Indices,
    candidates: Indices | None = None,
) -> Picks:
    """Pick `counts` (g,) rows of each group so that f(S) = Σ_i mass_i · max_{j∈S} value_ji grows.

    Row j of `values` holds what candidate j is worth to each sample i; `group` (n,) is the group of
    each row, and `candidates` (m,) are the rows that may be picked, all by default.

    The result is that of plain greedy, which takes the row of the greatest gain, of equals the
    first, among groups that still want one (Nemhauser, Wolsey and Fisher 1978: at least 1 − 1/e of
    the best for one group; Fisher, Nemhauser and Wolsey 1978: at least 1/2 with several). Gains
    only fall, so an old gain bounds the new one (Minoux 1978), and only rows whose bound is among
    the highest, a block, are looked at. A row of the block is taken at once when every row that
    shares a sample with it, and would still raise that sample, has a smaller gain: nothing that
    greedy takes before it could change its gain. Sorted by gain, the rows taken are in greedy's
    order.
    """
    state = _State(values, mass, group, counts, candidates)
    while state.left.any():
        state.take_block()
    return state.picks()


class _State:
    """What has been taken, how well each sample is served, and what a row can add at most.

    `rows` (m,) are the candidates that can still be taken, ascending, `bound` (m,) what each adds
    at most; `served` (n,) is the value at which each sample is served.
    """

    def __init__(
        self,
        values: Similarities,
        mass: Indices,
        group: Indices,
        counts: Indices,
        candidates: Indices | None,
    ) -> None:
        n = len(values)
        self.values, self.group, self.left = values, group, counts.copy()
        self.mass = None if (mass == 1).all() else mass
        self.served = np.zeros(n, np.int32)
        self.first = np.full(n, n, np.int32)
        rows = np.arange(n) if candidates is None else np.sort(candidates)
        self.rows = rows[self.left[group[rows]] > 0]
        assert (np.bincount(group[self.rows], minlength=len(counts)) >= counts).all()
        blocks = range(0, len(self.rows), _AT_A_TIME)
        bounds = [self.gains(self.rows[start : start + _AT_A_TIME]) for start in blocks]
        self.bound = np.concatenate([np.empty(0), *bounds])
        self.size = max(_LEAST, len(self.rows) // _BLOCKS)
        self.taken: list[Indices] = []
        self.gain: list[Doubles] = []

    def worth(self, other: Narrow, value: Narrow) -> Narrow | Indices:
        """What each entry (e,) would add to its sample, times the sample's mass."""
        raised: Narrow = np.maximum(value - self.served[other], 0)
        return raised if self.mass is None else np.multiply(raised, self.mass[other])

    def gains(self, rows: Indices) -> Doubles:
        """What each of some rows (m,) would add now."""
        start, other, value = self.values.rows(rows)
        # No row is empty: each holds itself.
        worth = self.worth(other, value)
        return np.add.reduceat(worth, start[:-1], dtype=np.int64).astype(np.float64)

    def take_block(self) -> None:
        """Take every row whose gain is not below the least bound of the block."""
        size = min(len(self.rows), max(_LEAST, min(self.size, 8 * int(self.left.sum()))))
        least = float(np.partition(self.bound, -size)[-size])
        place = np.flatnonzero(self.bound >= least)
        self.bound[place] = self.gains(self.rows[place])
        block = _Block(self, place[self.bound[place] >= least])
        full = self.left == 0
        while len(block.place):
            gains = block.gains()
            self.bound[block.place] = gains
            block, gains = block.where(gains >= least, gains)
            rows = self.rows[block.place]
            taken = block.first_of_their_samples(gains) & self._within_quota(rows, gains)
            self._take(block, taken, gains)
            block, _ = block.where(~taken & (self.left[self.group[rows]] > 0), gains)
        self._forget(self.bound >= 0.0)
        if ((self.left == 0) & ~full).any():
            self._forget(self.left[self.group[self.rows]] > 0)

    def _forget(self, kept: Flags) -> None:
        self.rows, self.bound = self.rows[kept], self.bound[kept]

    def _within_quota(self, rows: Indices, gains: Doubles) -> Flags:
        """Rows that fewer better ones of their group precede than the group still wants."""
        group = self.group[rows]
        if (np.bincount(group, minlength=len(self.left)) <= self.left).all():
            return np.ones(len(rows), np.bool_)
        order = np.lexsort((rows, -gains, group))
        place = np.empty(len(rows), np.int64)
        place[order] = np.arange(len(rows)) - np.searchsorted(group[order], group[order])
        found: Flags = place < self.left[group]
        return found

    def _take(self, block: _Block, taken: Flags, gains: Doubles) -> None:
        rows = self.rows[block.place[taken]]
        entries = np.flatnonzero(taken[block.owner])
        # Rows taken together serve no sample both: nothing is written twice.
        self.served[block.other[entries]] = block.value[entries]
        self.bound[block.place[taken]] = -1.0
        self.left -= np.bincount(self.group[rows], minlength=len(self.left))
        self.taken.append(rows)
        self.gain.append(gains[taken])

    def picks(self) -> Picks:
        """All rows taken, in greedy's order."""
        order = np.concatenate([np.empty(0, np.int64), *self.taken])
        gain = np.concatenate([np.empty(0), *self.gain])
        by_gain = np.lexsort((order, -gain))
        return Picks(order[by_gain], gain[by_gain])


class _Block:
    """Some candidates, by their `place` (b,), and the entries that would still raise a sample."""

    def __init__(self, state: _State, place: Indices) -> None:
        start, other, value = state.values.rows(state.rows[place])
        self.state, self.place = state, place
        self.owner = np.repeat(np.arange(len(place), dtype=np.int32), np.diff(start))
        self.other, self.value = other, value

    def gains(self) -> Doubles:
        """What each row (b,) adds now; entries that add nothing any more are left out."""
        worth = self.state.worth(self.other, self.value)
        self._keep(np.flatnonzero(worth))
        found = np.bincount(self.owner, weights=worth[worth > 0], minlength=len(self.place))
        return found.astype(np.float64, copy=False)

    def where(self, kept: Flags, gains: Doubles) -> tuple[_Block, Doubles]:
        """The block of some of the rows, with their gains."""
        if not kept.all():
            self._keep(np.flatnonzero(kept[self.owner]))
            self.owner = (np.cumsum(kept, dtype=np.int32) - 1)[self.owner]
            self.place = self.place[kept]
        return self, gains[kept]

    def _keep(self, entries: Indices) -> None:
        self.owner, self.other = self.owner[entries], self.other[entries]
        self.value = self.value[entries]

    def first_of_their_samples(self, gains: Doubles) -> Flags:
        """Rows (b,) that come before all others of the block at every sample they would raise."""
        rank = np.empty(len(self.place), np.int32)
        rank[np.argsort(-gains, kind="stable")] = np.arange(len(self.place), dtype=np.int32)
        mine = rank[self.owner]
        first = self.state.first
        np.minimum.at(first, self.other, mine)
        beaten = first[self.other] != mine
        first[self.other] = len(first)
        found = np.ones(len(self.place), np.bool_)
        found[self.owner[beaten]] = False
        return found
