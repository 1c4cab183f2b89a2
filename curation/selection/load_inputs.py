"""Load what selection reads of a run: its pool, its neighbour graph, its scores."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from curation.neighbors import NeighborsConfig, TileRunner
from curation.pool import (
    GraphConfig,
    build_graph,
    graph_path,
    load_pool,
    stored_graph,
)
from curation.selection.method import Candidates
from curation.selection.quality import Scores
from curation.stage_outputs import Upstream
from medsift.errors import StorageError


def read_candidates(
    run_dir: Path,
    upstream: Upstream,
    strata: Sequence[str],
    graph: GraphConfig,
    neighbors: NeighborsConfig,
    run: TileRunner | None = None,
) -> Candidates:
    """Read the pool from finished stages, and its graph, which is made if no stage has made it.

    Raises:
        UsageError: a stratum tag that no sample of the pool has.
        InputError: vectors that are not finite.
        StorageError: the graph on disk is damaged or of another pool, or the disk refuses.
    """
    # Only scorers compare pictures with texts.
    pool = load_pool(upstream, strata, shared_space=False)
    path = graph_path(run_dir, upstream.last_deciding().fingerprint, graph)
    found = stored_graph(path, lambda: build_graph(pool.vectors, graph, neighbors, run))
    if len(found) != len(pool):
        raise StorageError(
            f"{path} is a graph of {len(found)} samples, the pool has {len(pool)}: delete it and "
            "run again",
            code="graph_damaged",
        )
    return Candidates(pool, found, graph, neighbors)


def read_scores(upstream: Upstream) -> Scores:
    """The scores of the run; none where it has no stage `score`."""
    return Scores(upstream.score.scores.folder if "score" in upstream else None)
