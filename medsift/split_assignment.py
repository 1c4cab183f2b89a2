"""Assign new splits: whole groups go where their strata are most wanted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from medsift.arrays import Indices
from medsift.records import digest


def assign_splits(
    sample_ids: Sequence[str],
    labels: Indices,
    strata: Sequence[str],
    shares: Mapping[str, float],
    seed: int,
) -> list[str]:
    """Return the split of each sample (n), so that no group is cut.

    Groups are taken largest first, equal ones by a hash of seed and ids, and go to the split that
    lacks most of what they have: the sum over the group's samples of what their stratum still
    wants there, as a share of what it should get. The result depends on the ids and not on their
    order. Shares are met as nearly as whole groups allow.

    Args:
        sample_ids: Ids of the samples (n).
        labels: Equal for the samples of one group (n,).
        strata: Of each sample (n); every split gets its share of each.
        shares: Share of the samples that each split should get.
        seed: Of the order of groups of equal size.
    """
    groups, member = np.unique(labels, return_inverse=True)
    kinds, stratum = np.unique(np.asarray(strata, dtype=str), return_inverse=True)
    counts = np.zeros((len(groups), len(kinds)))
    np.add.at(counts, (member, stratum), 1.0)
    names = sorted(shares)
    share = np.array([shares[name] for name in names])
    smallest: dict[int, str] = {}
    for sample, group in zip(sample_ids, member.tolist(), strict=True):
        smallest[group] = min(smallest.get(group, sample), sample)
    lots = {group: digest("split", str(seed), sample) for group, sample in smallest.items()}
    # The largest first: small groups can still even out what large ones upset.
    sizes = counts.sum(1)
    order = sorted(lots, key=lambda group: (-sizes[group], lots[group]))
    target = counts.sum(0)[None, :] * share[:, None]
    wanted, room = target.copy(), target.sum(1)
    capacity = np.maximum(room, 1e-12).copy()
    chosen = np.zeros(len(counts), np.int64)
    for group in order:
        present = np.flatnonzero(counts[group])
        samples = counts[group, present]
        size = samples.sum()
        need = (wanted[:, present] / np.maximum(target[:, present], 1e-12)) @ samples / size
        # A split that is full as a whole gets nothing more, however rare the stratum.
        has_room = room >= 0.5 * size
        wish = np.where(has_room, need, -np.inf) if has_room.any() else room
        best = int(np.argmax(wish + room / capacity))
        chosen[group] = best
        wanted[best, present] -= samples
        room[best] -= size
    return [names[split] for split in chosen[member].tolist()]
