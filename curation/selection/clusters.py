"""Clusters of the pool's joint vectors."""

from __future__ import annotations

from typing import Final

from curation.neighbors import kmeans
from curation.selection.method import SelectionContext
from medsift.arrays import Floats, Indices

_SEEDS: Final = 1 << 31


def pool_clusters(context: SelectionContext, wanted: int | None) -> tuple[Floats, Indices]:
    """Unit centroids (k, d) and each sample's cluster (n,), by spherical k-means.

    `wanted` clusters, or about the square root of the pool's size. Made once, in this process, so
    that the clusters do not depend on how the work that follows is spread.
    """
    candidates = context.candidates
    n = len(candidates)
    clusters = min(n, max(1, round(n**0.5) if wanted is None else wanted))
    # FAISS takes seeds of 31 bits.
    seed = int(context.seed % _SEEDS)
    return kmeans(candidates.joint(), clusters, seed, device=candidates.neighbors.device)
