"""Score how crowded a sample's neighbourhood is."""

from __future__ import annotations

from typing import Literal

import numpy as np

from curation.pool import KnnGraph
from curation.scoring.scorer import ScorerConfig, ScoringContext
from medsift.arrays import Doubles


class DensityConfig(ScorerConfig):
    """Settings of `density`; the recipe's `graph` says which samples are neighbours."""

    kind: Literal["density"]

    def score(self, context: ScoringContext) -> Doubles:
        """Return the mean similarity (n,) to neighbours, NaN where a text cannot be read."""
        return np.where(context.pool.vectors.unread, np.nan, mean_similarity(context.graph))


def mean_similarity(graph: KnnGraph) -> Doubles:
    """Return the mean cosine (n,) of each sample with its neighbours, NaN where it has none."""
    known = graph.index >= 0
    total = np.where(known, graph.similarity, 0.0).sum(axis=1, dtype=np.float64)
    count = known.sum(axis=1)
    mean: Doubles = np.divide(total, count, out=np.full(len(graph), np.nan), where=count > 0)
    return mean
