"""Find similar pairs, nearest neighbours, clusters and near-duplicate texts in arrays."""

from __future__ import annotations

from curation.neighbors.approximate import CellSearch, PairSearch, find_pairs
from curation.neighbors.config import Method, NeighborsConfig
from curation.neighbors.cosine import check_vectors, exact_cosine
from curation.neighbors.join import iter_pairs, join, pairs_above
from curation.neighbors.kmeans import kmeans
from curation.neighbors.minhash import band_keys, near_texts
from curation.neighbors.nearest_by_cells import approximate_nearest
from curation.neighbors.pairs import Pairs, greedy_survivors, iter_hamming, join_pairs
from curation.neighbors.tiles import Runner, TileRunner

__all__ = [
    "CellSearch",
    "Method",
    "NeighborsConfig",
    "PairSearch",
    "Pairs",
    "Runner",
    "TileRunner",
    "approximate_nearest",
    "band_keys",
    "check_vectors",
    "exact_cosine",
    "find_pairs",
    "greedy_survivors",
    "iter_hamming",
    "iter_pairs",
    "join",
    "join_pairs",
    "kmeans",
    "near_texts",
    "pairs_above",
]
