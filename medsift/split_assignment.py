"""A new split: whole groups go where their strata are most wanted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from medsift.arrays import Doubles, Indices
from medsift.records import digest


def assign_splits(
    sample_ids: Sequence[str],
    labels: Indices,
    strata: Sequence[str],
    shares: Mapping[str, float],
    seed: int,
) -> list[str]:
    """Split (n) of each sample, so that no group of equal `labels` (n,) is cut.

    Groups are taken largest first, equal ones by a hash of seed and ids, and go to the split that
    lacks most of what they hold: the sum over the group's samples of what their stratum still
    wants there, as a share of what it should get. The result depends on the ids and not on their
    order. Shares are met as nearly as whole groups allow.
    """
    groups, member = np.unique(labels, return_inverse=True)
    kinds, stratum = np.unique(np.asarray(strata, dtype=str), return_inverse=True)
    counts = np.zeros((len(groups), len(kinds)))
    np.add.at(counts, (member, stratum), 1.0)
    names = sorted(shares)
    share = np.array([shares[name] for name in names])
    order = _order(sample_ids, member, counts.sum(1), seed)
    chosen = _fill(counts, order, share)
    return [names[place] for place in chosen[member].tolist()]


def _order(sample_ids: Sequence[str], member: Indices, sizes: Doubles, seed: int) -> list[int]:
    """Groups, largest first, then by a hash of the seed and the group's smallest id."""
    smallest: dict[int, str] = {}
    for sample, group in zip(sample_ids, member.tolist(), strict=True):
        smallest[group] = min(smallest.get(group, sample), sample)
    keys = {group: digest("split", str(seed), sample) for group, sample in smallest.items()}
    return sorted(keys, key=lambda group: (-sizes[group], keys[group]))


def _fill(counts: Doubles, order: Sequence[int], share: Doubles) -> Indices:
    """Split (groups,) of each group, given in the order in which they choose."""
    target = counts.sum(0)[None, :] * share[:, None]
    wanted, room = target.copy(), target.sum(1)
    whole = np.maximum(room, 1e-12).copy()
    chosen = np.zeros(len(counts), np.int64)
    for group in order:
        here = np.flatnonzero(counts[group])
        held = counts[group, here]
        need = (wanted[:, here] / np.maximum(target[:, here], 1e-12)) @ held / held.sum()
        # A split that is full as a whole gets nothing more, however rare the stratum.
        open_to = room >= 0.5 * held.sum()
        wish = np.where(open_to, need, -np.inf) if open_to.any() else room
        best = int(np.argmax(wish + room / whole))
        chosen[group] = best
        wanted[best, here] -= held
        room[best] -= held.sum()
    return chosen
