"""Assign new splits: whole groups go where their strata are most wanted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from medsift.arrays import Indices
from medsift.records import digest
from medsift.reorder import ranked

IDS_AT_A_TIME: Final = 1 << 16


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
    encoded = pa.array(strata, pa.string()).dictionary_encode()
    kinds, stratum = len(encoded.dictionary), ranked(encoded)
    # The samples of each stratum in each group, without the many zeros between.
    cells, count = np.unique(member * max(kinds, 1) + stratum, return_counts=True)
    kind, start = cells % max(kinds, 1), np.searchsorted(cells, np.arange(len(groups) + 1) * kinds)
    sizes = np.bincount(member, minlength=len(groups))
    names = sorted(shares)
    share = np.array([shares[name] for name in names])
    lots = np.fromiter(
        (digest("split", str(seed), sample).encode() for sample in _smallest(sample_ids, member)),
        dtype="S64",
        count=len(groups),
    )
    # The largest first: small groups can still even out what large ones upset.
    order = np.lexsort((lots, -sizes)).tolist()
    wished = np.bincount(stratum, minlength=kinds).astype(np.float64)
    target = wished[None, :] * share[:, None]
    wanted, room = target.copy(), target.sum(1)
    capacity = np.maximum(room, 1e-12).copy()
    chosen = np.zeros(len(groups), np.int64)
    for group in order:
        cell = slice(start[group], start[group + 1])
        present, samples = kind[cell], count[cell].astype(np.float64)
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


def _smallest(ids: Sequence[str], member: Indices) -> Iterator[str]:
    """Yield the smallest id of each group, by the group's number."""
    table = pa.table({"group": member, "id": pa.array(ids, pa.string())})
    order = pc.sort_indices(table, sort_keys=[("group", "ascending"), ("id", "ascending")])
    first = np.unique(member[order.to_numpy()], return_index=True)[1]
    smallest = table["id"].take(order.take(pa.array(first)))
    for start in range(0, len(smallest), IDS_AT_A_TIME):
        yield from smallest.slice(start, IDS_AT_A_TIME).to_pylist()
