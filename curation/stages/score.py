"""Score every sample that may be trained on, before selections are made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pyarrow as pa

from curation.pool import Pool, graph_path, load_graph, load_pool
from curation.recipe import Recipe
from curation.scoring import ScorerConfig, ScoringContext
from curation.scoring.tables import COMBINATIONS, CORRELATIONS, SCORES, score_tables
from curation.stage_outputs import Upstream
from curation.stages.stage import Stage, StageContext
from medsift.arrays import Doubles


def check_models(recipe: Recipe) -> None:
    """Make sure, without loading them, that the models of all scorers can be loaded.

    Raises:
        ModelError: one that cannot, with the fix.
    """
    for scorer in recipe.scores.scorers:
        scorer.fingerprint()


class ScoreStage(Stage):
    """Score the samples that may be trained on; drop none. Without scorers there are no tables."""

    name: ClassVar[str] = "score"
    version: ClassVar[int] = 4
    outputs: ClassVar[Mapping[str, pa.Schema]] = {
        "scores": SCORES,
        "combinations": COMBINATIONS,
        "correlations": CORRELATIONS,
    }
    decides: ClassVar[bool] = False

    def settings(self, recipe: Recipe, upstream: Upstream) -> Any:
        """Return the scorers with their models, weights, strata, the neighbour graph and the seed.

        Raises:
            ModelError: a scorer's model cannot be loaded.
        """
        if not recipe.scores.scorers:
            return {"scorers": []}
        return {
            "scorers": [scorer.fingerprint() for scorer in recipe.scores.scorers],
            "weights": recipe.scores.weights,
            "strata": list(recipe.strata),
            "graph": recipe.graph.model_dump(mode="json"),
            "neighbors": recipe.neighbors.identity(),
            "seed": recipe.seed,
        }

    def run(self, context: StageContext) -> None:
        """Write `scores`, `combinations` and `correlations`, where there are scorers."""
        recipe = context.recipe
        if not recipe.scores.scorers:
            return
        pool = load_pool(context.upstream, recipe.strata, shared_space=recipe.encoder.shared_space)
        scorers = recipe.scores.scorers
        context.begin(len(pool) * len(scorers), "scores")
        values: dict[str, Doubles] = {
            scorer.kind: _values(scorer, pool, context) for scorer in scorers
        }
        with context.timed("rank", len(pool)):
            tables = score_tables(pool, values, recipe.scores)
        for name, table in tables.items():
            getattr(context.outputs, name).write(table)


def _values(scorer: ScorerConfig, pool: Pool, context: StageContext) -> Doubles:
    left = len(pool)

    def advance(samples: int) -> None:
        """Report a scorer's samples, at most as many as there are."""
        nonlocal left
        counted = min(samples, left)
        left -= counted
        context.advance(counted)

    recipe, run = context.recipe, context.executor.run
    path = graph_path(context.run_dir, context.upstream.last_deciding().fingerprint, recipe.graph)
    with context.timed(scorer.kind, len(pool)):
        values = scorer.score(
            ScoringContext(
                pool=pool,
                make_graph=lambda: load_graph(
                    path, pool.vectors, recipe.graph, recipe.neighbors, run
                ),
                executor=context.executor,
                folder=context.folder / "scorers" / scorer.kind,
                cache=recipe.cache_dir.absolute(),
                seed=recipe.seed,
                advance=advance,
            )
        )
    # A scorer need not report its samples itself.
    advance(left)
    return values
