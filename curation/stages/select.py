"""Make ordered, weighted selections of the rows that are left."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import pyarrow as pa

from curation.make_selection import make_selection
from curation.pool import load_pool
from curation.probe.enough import probe_of
from curation.recipe import Recipe
from curation.selection.config import EVERYTHING
from curation.selection.everything import Everything, everything_of
from curation.selection.load_inputs import candidates_of, read_scores
from curation.selection.tables import CURVES, SELECTIONS, SETTINGS
from curation.stage_outputs import Upstream
from curation.stages.stage import Stage, StageContext
from medsift.manifest.schema import arrow_schema


class SelectStage(Stage):
    """Select every row that may be trained on, and then each selection of the recipe.

    Rows of a split other than `train` are kept in the manifest but never selected. A row's weight
    is the number of input rows that it represents: itself and those dropped for it.
    """

    name: ClassVar[str] = "select"
    version: ClassVar[int] = 3
    outputs: ClassVar[Mapping[str, pa.Schema]] = {
        "selections": SELECTIONS,
        "selection_settings": SETTINGS,
        "curves": CURVES,
        "probe_runs": arrow_schema("probe_runs"),
        "probe_results": arrow_schema("probe_results"),
    }
    decides: ClassVar[bool] = False

    def settings(self, recipe: Recipe, upstream: Upstream) -> Any:
        """Return the selections, and what decides neighbours and strata; scores are upstream."""
        settings: dict[str, Any] = {"selection": EVERYTHING, "strata": list(recipe.strata)}
        if recipe.selections:
            settings |= {
                "selections": [
                    one.with_first_names(one.model_dump(mode="json")) for one in recipe.selections
                ],
                "graph": recipe.graph.model_dump(mode="json"),
                "neighbors": recipe.neighbors.identity(),
                "seed": recipe.seed,
            }
        return settings

    def run(self, context: StageContext) -> None:
        """Write the selections, and the probes that decide the size of some."""
        recipe, outputs = context.recipe, context.outputs
        upstream = context.upstream
        pool = None
        if recipe.selections:
            # Only scorers compare pictures with texts.
            pool = load_pool(upstream, recipe.strata, shared_space=False)
        everything = (
            Everything.read(upstream, recipe.strata) if pool is None else everything_of(pool)
        )
        probed = sum(
            probe_of(one).cells for one in recipe.selections if one.budget.auto is not None
        )
        context.begin(len(everything) + probed, "samples and trainings" if probed else "samples")
        outputs.selections.write_all(everything.parts())
        outputs.selection_settings.write(everything.settings(recipe.seed))
        if pool is not None:
            with context.timed("neighbours", len(pool)):
                candidates = candidates_of(
                    pool, context.run_dir, upstream, recipe, context.executor.run
                )
            scores = read_scores(upstream)
            for ordinal, config in enumerate(recipe.selections, start=1):
                if outputs.selection_settings.has(ordinal):
                    continue  # written before the stage was interrupted
                if config.budget.auto is not None:
                    context.warn(
                        f"the size of selection {config.name} is decided by "
                        f"{probe_of(config).cells:,} trainings of a probe, which takes minutes"
                    )
                with context.timed(f"select {config.name}", len(candidates)):
                    made = make_selection(
                        upstream,
                        recipe,
                        candidates,
                        scores,
                        config,
                        context.executor,
                        _by_steps(context.advance),
                    )
                for name, table in made.tables(candidates, ordinal).items():
                    getattr(outputs, name).write(table, ordinal)
        context.advance(len(everything))


def _by_steps(advance: Callable[[int], None]) -> Callable[[int], None]:
    """Return a function that takes the number done so far, and advances by what is new."""
    before = 0

    def advance_to(done: int) -> None:
        nonlocal before
        advance(done - before)
        before = done

    return advance_to
