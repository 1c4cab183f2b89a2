"""D4's second step: the most prototypical samples go first."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from curation.selection.clusters import pool_clusters
from curation.selection.method import MethodConfig, Picker, SelectionContext, by_order
from medsift.arrays import Doubles, Floats, Indices

_ROWS = 4096


class PrototypePruningConfig(MethodConfig):
    """Keep the samples farthest from the centroid of their cluster.

    Sorscher et al. 2022 ("SSL prototypes", arXiv 2206.14486) as in D4 (Tirumala et al. 2023, arXiv
    2308.12284): spherical k-means, then the samples nearest to their centroid are
    dropped. D4's first step, semantic deduplication, is the recipe's `dedup.semantic`. `gain` is
    the distance 1 − cosine. Quality plays no part.
    """

    kind: Literal["prototype_pruning"] = "prototype_pruning"
    clusters: int | None = Field(default=None, ge=1)
    """Clusters of the pool; the square root of its size when not given."""

    def picker(self, context: SelectionContext) -> Picker:
        """Order the pool by distance once."""
        centroids, label = pool_clusters(context, self.clusters)
        distance = 1.0 - _cosines(context.candidates.joint(), centroids, label)
        return by_order(np.argsort(-distance, kind="stable"), distance, context.groups)


def _cosines(joint: Floats, centroids: Floats, label: Indices) -> Doubles:
    """Cosine (n,) of each vector to its centroid, summed the same way on every machine."""
    found = np.empty(len(joint))
    for start in range(0, len(joint), _ROWS):
        rows = slice(start, start + _ROWS)
        found[rows] = (joint[rows].astype(np.float64) * centroids[label[rows]]).sum(axis=1)
    return found
