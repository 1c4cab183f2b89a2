"""Maximise a submodular objective on the neighbour graph greedily: exact, in vectorised blocks."""

from __future__ import annotations

from typing import Final

import numpy as np

from curation.selection.method import Picked
from curation.selection.neighbor_matrix import Similarities
from curation.selection.objective import BEST_VALUE, Objective
from medsift.arrays import Doubles, Flags, Indices, Narrow

BLOCKS: Final = 32
"""Share of the candidates in a block: one in so many. Larger blocks recompute more gains."""
LEAST_ROWS: Final = 64
"""Rows of a block at least; smaller ones cost more calls than they save gains."""
_ROWS_AT_A_TIME: Final = 1 << 16


def greedy(
    values: Similarities,
    mass: Indices,
    group: Indices,
    counts: Indices,
    candidates: Indices | None = None,
    objective: Objective = BEST_VALUE,
) -> Picked:
    """Pick rows of each group so that f(S) = Σ_i mass_i · worth_i(value_ji, j ∈ S) grows the most.

    The result is that of plain greedy, which takes the row of the greatest gain, of equals the
    first, among groups that still want one (Nemhauser, Wolsey and Fisher 1978: at least 1 − 1/e of
    the best for one group; Fisher, Nemhauser and Wolsey 1978: at least 1/2 with several).

    Gains only fall, so an old gain bounds the new one (Minoux 1978), and only rows whose bound is
    among the highest, a block, are looked at. A row of the block is taken at once when every row
    that shares a sample with it, and would still raise that sample, has a smaller gain: nothing
    that greedy takes before it could change its gain. Sorted by gain, the rows taken are in
    greedy's order. Gains are whole numbers.

    Args:
        values: Row j is what candidate j is worth to each sample i (n, n).
        mass: Weight (n,) of each sample.
        group: Group (n,) of each row.
        counts: Rows (g,) to pick of each group.
        candidates: Rows (m,) that may be picked; None is all.
        objective: What the values are worth together; the greatest one when not given.
    """
    state = _State(values, mass, group, counts, candidates, objective)
    while state.missing.any():
        state.take_block()
    order = np.concatenate([np.empty(0, np.int64), *state.taken])
    gain = np.concatenate([np.empty(0), *state.gain])
    by_gain = np.lexsort((order, -gain))
    return Picked(order[by_gain], gain[by_gain])


class _State:
    """What has been taken, how well each sample is served, and what a row can add at most.

    `rows` (m,) are the candidates that can still be taken, ascending, `bound` (m,) what each adds
    at most; `served` (n,) is how well each sample is served, as the objective counts it.
    """

    def __init__(
        self,
        values: Similarities,
        mass: Indices,
        group: Indices,
        counts: Indices,
        candidates: Indices | None,
        objective: Objective,
    ) -> None:
        n = len(values)
        self.objective = objective
        self.values, self.group, self.missing = values, group, counts.copy()
        self.mass = None if (mass == 1).all() else mass
        self.served = np.zeros(n, np.int32)
        # Scratch space of `_Block.first_of_their_samples`, made once.
        self.first = np.full(n, n, np.int32)
        rows = np.arange(n) if candidates is None else np.sort(candidates)
        self.rows = rows[self.missing[group[rows]] > 0]
        assert (np.bincount(group[self.rows], minlength=len(counts)) >= counts).all()
        starts = range(0, len(self.rows), _ROWS_AT_A_TIME)
        bounds = [self.gains(self.rows[start : start + _ROWS_AT_A_TIME]) for start in starts]
        self.bound = np.concatenate([np.empty(0), *bounds])
        self.size = max(LEAST_ROWS, len(self.rows) // BLOCKS)
        self.taken: list[Indices] = []
        self.gain: list[Doubles] = []

    def worth(self, other: Narrow, value: Narrow) -> Narrow | Indices:
        """Compute what each entry (e,) would add to its sample, times the sample's mass."""
        raised = self.objective.worth(self.served[other], value)
        return raised if self.mass is None else np.multiply(raised, self.mass[other])

    def gains(self, rows: Indices) -> Doubles:
        """Compute what each of some rows (m,) would add now."""
        start, other, value = self.values.rows(rows)
        worth = self.worth(other, value)
        # `reduceat` needs rows that are not empty: each is similar to itself.
        return np.add.reduceat(worth, start[:-1], dtype=np.int64).astype(np.float64)

    def take_block(self) -> None:
        """Take every row whose gain is not below the least bound of the block."""
        # Near the end few rows are wanted, and a full block would be mostly in vain.
        most = max(LEAST_ROWS, min(self.size, 8 * int(self.missing.sum())))
        size = min(len(self.rows), most)
        # All rows at the least bound belong to the block: a tie with a row outside is impossible.
        least = float(np.partition(self.bound, -size)[-size])
        position = np.flatnonzero(self.bound >= least)
        self.bound[position] = self.gains(self.rows[position])
        block = _Block(self, position[self.bound[position] >= least])
        full = self.missing == 0
        while len(block.position):
            gains = block.gains()
            self.bound[block.position] = gains
            # A row that fell below the least bound may now be less than one outside the block.
            above = gains >= least
            block.keep(above)
            gains = gains[above]
            rows = self.rows[block.position]
            taken = block.first_of_their_samples(gains) & self._within_quota(rows, gains)
            entries = np.flatnonzero(taken[block.owner])
            # No two rows that are taken together serve one sample: nothing is written twice.
            other, value = block.other[entries], block.value[entries]
            self.served[other] = self.objective.serve(self.served[other], value)
            self.bound[block.position[taken]] = -1.0
            self.missing -= np.bincount(self.group[rows[taken]], minlength=len(self.missing))
            self.taken.append(rows[taken])
            self.gain.append(gains[taken])
            block.keep(~taken & (self.missing[self.group[rows]] > 0))
        # A row that was taken has bound -1.
        self._forget(self.bound >= 0.0)
        if ((self.missing == 0) & ~full).any():
            self._forget(self.missing[self.group[self.rows]] > 0)

    def _forget(self, kept: Flags) -> None:
        self.rows, self.bound = self.rows[kept], self.bound[kept]

    def _within_quota(self, rows: Indices, gains: Doubles) -> Flags:
        """Mark rows that fewer better ones of their group precede than the group still wants."""
        group = self.group[rows]
        if (np.bincount(group, minlength=len(self.missing)) <= self.missing).all():
            return np.ones(len(rows), np.bool_)
        order = np.lexsort((rows, -gains, group))
        rank = np.empty(len(rows), np.int64)
        rank[order] = np.arange(len(rows)) - np.searchsorted(group[order], group[order])
        return np.asarray(rank < self.missing[group], np.bool_)


class _Block:
    """Some candidates, by their `position` (b,), and the entries that would still raise a sample.

    Entry e says that candidate `owner[e]` of the block gives sample `other[e]` the `value[e]`.
    """

    def __init__(self, state: _State, position: Indices) -> None:
        start, other, value = state.values.rows(state.rows[position])
        self.state, self.position = state, position
        self.owner = np.repeat(np.arange(len(position), dtype=np.int32), np.diff(start))
        self.other, self.value = other, value

    def gains(self) -> Doubles:
        """Compute what each row (b,) adds now, and drop entries that add nothing any more."""
        worth = self.state.worth(self.other, self.value)
        # Values served only rise: what adds nothing now never will.
        self._keep_entries(np.flatnonzero(worth))
        gains = np.bincount(self.owner, weights=worth[worth > 0], minlength=len(self.position))
        return gains.astype(np.float64, copy=False)

    def keep(self, kept: Flags) -> None:
        """Keep some of the rows (b,)."""
        if not kept.all():
            self._keep_entries(np.flatnonzero(kept[self.owner]))
            self.owner = (np.cumsum(kept, dtype=np.int32) - 1)[self.owner]
            self.position = self.position[kept]

    def _keep_entries(self, entries: Indices) -> None:
        self.owner, self.other = self.owner[entries], self.other[entries]
        self.value = self.value[entries]

    def first_of_their_samples(self, gains: Doubles) -> Flags:
        """Mark rows (b,) that come before all others at every sample they would raise."""
        rank = np.empty(len(self.position), np.int32)
        # A stable sort: of equal gains the first row, as plain greedy takes it.
        rank[np.argsort(-gains, kind="stable")] = np.arange(len(self.position), dtype=np.int32)
        rank_of_entry = rank[self.owner]
        first = self.state.first
        np.minimum.at(first, self.other, rank_of_entry)
        beaten = first[self.other] != rank_of_entry
        first[self.other] = len(first)
        unbeaten = np.ones(len(self.position), np.bool_)
        unbeaten[self.owner[beaten]] = False
        return unbeaten
