"""Find groups of rows that are connected by links, directly or through other rows."""

from __future__ import annotations

import numpy as np

from medsift.arrays import Indices


def connected_components(n: int, left: Indices, right: Indices) -> Indices:
    """Return the smallest row (n,) of each row's group; `left` (p,) and `right` (p,) are linked."""
    from scipy.sparse import coo_array  # type: ignore[import-untyped]
    from scipy.sparse.csgraph import (  # type: ignore[import-untyped]
        connected_components as components,
    )

    linked = coo_array((np.ones(len(left), dtype=bool), (left, right)), shape=(n, n))
    _, label = components(linked, directed=False)
    _, smallest, group = np.unique(label, return_index=True, return_inverse=True)
    return np.asarray(smallest[group], np.int64)
