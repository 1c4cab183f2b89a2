"""Score every sample that may be trained on, before selections are made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar, TypeVar

import pyarrow as pa

from curation.pool import Pool, graph_path, load_graph, load_pool
from curation.recipe import Recipe
from curation.scoring import ScoringContext
from curation.scoring.skills import SKILLS
from curation.scoring.tables import COMBINATIONS, CORRELATIONS, SCORES, score_tables
from curation.stage_outputs import Upstream
from curation.stages.stage import Stage, StageContext
from medsift.arrays import Doubles

Result = TypeVar("Result")


def check_models(recipe: Recipe) -> None:
    """Make sure, without loading them, that the models of all scorers and skills can be loaded.

    Raises:
        ModelError: one that cannot, with the fix.
    """
    for scorer in recipe.scores.scorers:
        scorer.fingerprint()
    if recipe.scores.skills is not None:
        recipe.scores.skills.fingerprint()


class ScoreStage(Stage):
    """Score the samples that may be trained on, and name their skills; drop none.

    Tables that the recipe does not ask for are empty.
    """

    name: ClassVar[str] = "score"
    version: ClassVar[int] = 4
    outputs: ClassVar[Mapping[str, pa.Schema]] = {
        "scores": SCORES,
        "combinations": COMBINATIONS,
        "correlations": CORRELATIONS,
        "skills": SKILLS,
    }
    decides: ClassVar[bool] = False

    def settings(self, recipe: Recipe, upstream: Upstream) -> Any:
        """Return the scorers with their models, weights, strata, the neighbour graph and the seed.

        Raises:
            ModelError: a scorer's model cannot be loaded.
        """
        scores = recipe.scores
        settings: dict[str, Any] = {"scorers": [scorer.fingerprint() for scorer in scores.scorers]}
        if scores.scorers:
            settings |= {
                "weights": scores.weights,
                "strata": list(recipe.strata),
                "graph": recipe.graph.model_dump(mode="json"),
                "neighbors": recipe.neighbors.identity(),
                "seed": recipe.seed,
            }
            if "modality" not in recipe.strata and any(
                one.within_modality for one in scores.scorers
            ):
                settings["within"] = "modality"
        if scores.skills is not None:
            settings |= {"skills": scores.skills.fingerprint(), "seed": recipe.seed}
        return settings

    def run(self, context: StageContext) -> None:
        """Write `scores`, `combinations` and `correlations` of the scorers, and `skills`."""
        recipe = context.recipe
        scorers, skills = recipe.scores.scorers, recipe.scores.skills
        if not scorers and skills is None:
            return
        pool = load_pool(context.upstream, recipe.strata, shared_space=recipe.encoder.shared_space)
        context.begin(len(pool) * (len(scorers) + (skills is not None)), "scores")
        if scorers:
            values: dict[str, Doubles] = {
                scorer.kind: _timed(scorer.kind, scorer.score, pool, context) for scorer in scorers
            }
            with context.timed("rank", len(pool)):
                tables = score_tables(pool, values, recipe.scores)
                context.outputs.scores.write_all(tables.scores)
            context.outputs.combinations.write(tables.combinations)
            context.outputs.correlations.write(tables.correlations)
        if skills is not None:
            assign = partial(skills.assign, device=recipe.neighbors.device)
            context.outputs.skills.write(_timed("skills", assign, pool, context))


def _timed(
    name: str, compute: Callable[[ScoringContext], Result], pool: Pool, context: StageContext
) -> Result:
    """Return what a scorer computes of a pool, and report its time and its samples."""
    left = len(pool)

    def advance(samples: int) -> None:
        """Report a scorer's samples, at most as many as there are."""
        nonlocal left
        counted = min(samples, left)
        left -= counted
        context.advance(counted)

    recipe, run = context.recipe, context.executor.run
    path = graph_path(context.run_dir, context.upstream.last_deciding().fingerprint, recipe.graph)
    with context.timed(name, len(pool)):
        result = compute(
            ScoringContext(
                pool=pool,
                make_graph=lambda: load_graph(
                    path, pool.vectors, recipe.graph, recipe.neighbors, run
                ),
                executor=context.executor,
                folder=context.folder / "scorers" / name,
                cache=recipe.cache_dir.absolute(),
                seed=recipe.seed,
                advance=advance,
            )
        )
    context.add_device_time(context.folder / "scorers" / name, len(pool), f"{name}: ")
    # A scorer need not report its samples itself.
    advance(left)
    return result
