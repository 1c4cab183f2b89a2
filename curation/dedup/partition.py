"""Deal rows to shards, so that rows that may repeat each other are in one."""

from __future__ import annotations

from typing import Final

import numpy as np

from medsift.arrays import Indices

SHARD_BYTES: Final = 64 << 20
"""About the most bytes of texts of a shard."""


def deal_groups(label: Indices, size: int, row_bytes: Indices | None = None) -> Indices:
    """Return the shard of each row (n,); rows of one label (n,) share one.

    Groups are dealt in the order of their labels, and a shard is closed when it has `size` rows, or
    `SHARD_BYTES` of the `row_bytes` (n,) of texts where those are given. A group is never cut: one
    that is larger makes a larger shard.
    """
    first, group, sizes = np.unique(label, return_inverse=True, return_counts=True)
    shard = (np.cumsum(sizes) - sizes) // size
    if row_bytes is not None:
        filled = np.bincount(group, weights=row_bytes, minlength=len(first)).astype(np.int64)
        shard += (np.cumsum(filled) - filled) // SHARD_BYTES
    # A group that crosses several borders leaves numbers out.
    _, dense = np.unique(shard, return_inverse=True)
    return np.asarray(dense[group], np.int64) if len(first) else np.empty(0, np.int64)
