"""Load what selection reads of a run: its pool, its neighbour graph, its scores."""

from __future__ import annotations

from pathlib import Path

from curation.neighbors import Runner
from curation.pool import Pool, graph_path, load_graph, load_pool
from curation.recipe import Recipe
from curation.selection.method import Candidates
from curation.selection.quality import Scores
from curation.stage_outputs import Upstream


def read_candidates(run_dir: Path, upstream: Upstream, recipe: Recipe, run: Runner) -> Candidates:
    """Read the pool from finished stages, and its graph, which is made if no stage has made it.

    Args:
        run_dir: The run's directory, which keeps the graph.
        upstream: The finished stages.
        recipe: Its strata, its graph, and how neighbours are searched.
        run: Applies a function to parts of the work.

    Raises:
        UsageError: a stratum tag that no sample of the pool has.
        InputError: vectors that are not finite.
        StorageError: the graph on disk is damaged or of another pool, or the disk refuses.
    """
    # Only scorers compare pictures with texts.
    pool = load_pool(upstream, recipe.strata, shared_space=False)
    return candidates_of(pool, run_dir, upstream, recipe, run)


def candidates_of(
    pool: Pool, run_dir: Path, upstream: Upstream, recipe: Recipe, run: Runner
) -> Candidates:
    """Return a pool that was read from finished stages with its graph; see `read_candidates`."""
    path = graph_path(run_dir, upstream.last_deciding().fingerprint, recipe.graph)
    knn = load_graph(path, pool.vectors, recipe.graph, recipe.neighbors, run)
    return Candidates(pool, knn, recipe.graph, recipe.neighbors)


def read_scores(upstream: Upstream) -> Scores:
    """Return the scores and skills of the run; none where it has no stage `score`."""
    if "score" not in upstream:
        return Scores(None)
    return Scores(upstream.score.scores.folder, upstream.score.skills.folder)
