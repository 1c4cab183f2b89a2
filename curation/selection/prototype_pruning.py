"""Drop the most prototypical samples first: D4's second step."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from curation.selection.method import MethodConfig, Picker, SelectionContext, pick_in_order

_ROWS_AT_A_TIME = 4096


class PrototypePruningConfig(MethodConfig):
    """Settings of `prototype_pruning`: keep the samples farthest from their cluster's centroid.

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
        centroids, label = context.cluster(self.clusters)
        joint = context.candidates.joint()
        distance = np.empty(len(joint))
        for start in range(0, len(joint), _ROWS_AT_A_TIME):
            rows = slice(start, start + _ROWS_AT_A_TIME)
            # A sum by rows and no matrix product, which would differ between machines.
            products = joint[rows].astype(np.float64) * centroids[label[rows]]
            distance[rows] = 1.0 - products.sum(axis=1)
        return pick_in_order(np.argsort(-distance, kind="stable"), distance, context.groups)
