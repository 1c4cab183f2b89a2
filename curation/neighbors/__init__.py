"""Find similar pairs, nearest neighbours, clusters and near-duplicate texts in arrays."""

from __future__ import annotations

from curation.neighbors.approximate import approximate_pairs
from curation.neighbors.cosine import check_vectors, exact_cosine
from curation.neighbors.hamming import iter_hamming
from curation.neighbors.join import Join, choose_device, iter_pairs, join, pairs_above
from curation.neighbors.kmeans import kmeans
from curation.neighbors.minhash import near_texts
from curation.neighbors.nearest import Nearest, approximate_nearest
from curation.neighbors.pairs import Pairs, connected_components, greedy_survivors, join_pairs
from curation.neighbors.search import Method, NeighborsConfig, PairSearch, find_pairs
from curation.neighbors.tiles import TileRunner

__all__ = [
    "Join",
    "Method",
    "Nearest",
    "NeighborsConfig",
    "PairSearch",
    "Pairs",
    "TileRunner",
    "approximate_nearest",
    "approximate_pairs",
    "check_vectors",
    "choose_device",
    "connected_components",
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
