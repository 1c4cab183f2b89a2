"""What scorers and selectors look at: candidates for training, their vectors, their neighbours."""

from __future__ import annotations

from curation.pool.graph import GraphConfig, KnnGraph, build_graph
from curation.pool.pool import Pool, SampleVectors, load_pool, stratum_names
from curation.pool.stored import stored_graph

__all__ = [
    "GraphConfig",
    "KnnGraph",
    "Pool",
    "SampleVectors",
    "build_graph",
    "load_pool",
    "stored_graph",
    "stratum_names",
]
