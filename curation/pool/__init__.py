"""The pool: candidates for training, their vectors and their neighbours."""

from __future__ import annotations

from curation.pool.graph import GraphConfig, KnnGraph, build_graph, graph_path, load_graph
from curation.pool.pool import (
    Pool,
    SampleVectors,
    load_pool,
    represented_rows,
    strata_of,
    stratum_names,
)

__all__ = [
    "GraphConfig",
    "KnnGraph",
    "Pool",
    "SampleVectors",
    "build_graph",
    "graph_path",
    "load_graph",
    "load_pool",
    "represented_rows",
    "strata_of",
    "stratum_names",
]
