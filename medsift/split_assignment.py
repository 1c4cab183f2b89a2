"""Assign samples to new splits: a whole group goes where its strata are most needed."""

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
    """Return the split (n) of each sample, so that no group of equal `labels` (n,) is cut.

    Groups are assigned largest first, equal ones by a hash of seed and ids. A group goes to the
    split that needs its samples most: the mean over them of what their stratum still lacks there,
    as a share of what it should get. The result depends on the ids and not on their order. Shares
    are met as nearly as whole groups allow.

    Args:
        sample_ids: Ids (n), which break ties.
        labels: Group (n,) of each sample.
        strata: Stratum (n) of each sample.
        shares: Split → share of the samples.
        seed: Another seed gives other splits.
    """
    groups, member = np.unique(labels, return_inverse=True)
    kinds, stratum = np.unique(np.asarray(strata, dtype=str), return_inverse=True)
    counts = np.zeros((len(groups), len(kinds)))
    np.add.at(counts, (member, stratum), 1.0)
    smallest: dict[int, str] = {}
    for sample, group in zip(sample_ids, member.tolist(), strict=True):
        smallest[group] = min(smallest.get(group, sample), sample)
    keys = {group: digest("split", str(seed), sample) for group, sample in smallest.items()}
    # Large groups first: small ones can still fill what is left, the other way round they cannot.
    order = sorted(keys, key=lambda group: (-counts[group].sum(), keys[group]))
    names = sorted(shares)
    chosen = _fill(counts, order, np.array([shares[name] for name in names]))
    return [names[split] for split in chosen[member].tolist()]


def _fill(counts: Doubles, order: Sequence[int], share: Doubles) -> Indices:
    """Return the split (groups,) of each group, assigned in `order`."""
    target = counts.sum(0)[None, :] * share[:, None]
    lacking, room = target.copy(), target.sum(1)
    capacity = np.maximum(room, 1e-12).copy()
    chosen = np.zeros(len(counts), np.int64)
    for group in order:
        strata = np.flatnonzero(counts[group])
        samples = counts[group, strata]
        size = samples.sum()
        need = (lacking[:, strata] / np.maximum(target[:, strata], 1e-12)) @ samples / size
        # A full split gets nothing more, however rare the stratum. Half a group may exceed it:
        # rounding to the nearest group keeps the shares unbiased.
        is_open = room >= 0.5 * size
        wish = np.where(is_open, need, -np.inf) if is_open.any() else room
        # The share of free room decides between splits of equal need.
        best = int(np.argmax(wish + room / capacity))
        chosen[group] = best
        lacking[best, strata] -= samples
        room[best] -= size
    return chosen
