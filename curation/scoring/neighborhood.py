"""Score a sample by its neighbours: how crowded it is among them, and how far from them."""

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
    mean = np.full(len(graph), np.nan)
    for rows in graph.blocks():
        known = graph.index[rows] >= 0
        total = np.where(known, graph.similarity[rows], 0.0).sum(axis=1, dtype=np.float64)
        count = known.sum(axis=1)
        np.divide(total, count, out=mean[rows], where=count > 0)
    return mean


class RarityConfig(ScorerConfig):
    """Settings of `rarity`; the recipe's `graph` says which samples are neighbours."""

    kind: Literal["rarity"]

    def score(self, context: ScoringContext) -> Doubles:
        """Return the distance (n,) to the last neighbour, NaN where a text cannot be read."""
        return np.where(context.pool.vectors.unread, np.nan, farthest_distance(context.graph))


def farthest_distance(graph: KnnGraph) -> Doubles:
    """Return 1 - cosine (n,) with the k-th neighbour, or the last there is; NaN without any.

    The k-NN distance as a measure of an outlier: Ramaswamy, Rastogi and Shim 2000, "Efficient
    Algorithms for Mining Outliers from Large Data Sets".
    """
    distance = np.full(len(graph), np.nan)
    for rows in graph.blocks():
        cosine = np.where(graph.index[rows] >= 0, graph.similarity[rows], np.inf)
        least = cosine.min(axis=1, initial=np.inf).astype(np.float64)
        np.subtract(1.0, least, out=distance[rows], where=np.isfinite(least))
    return distance
