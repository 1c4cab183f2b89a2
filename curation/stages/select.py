"""Make ordered, weighted selections of the rows that are left."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.current_samples import read_samples, training_samples
from curation.make_selection import make_selection
from curation.pool import represented_rows, strata_of
from curation.probe.enough import probe_of
from curation.recipe import Recipe
from curation.selection.budget import estimate_tokens
from curation.selection.config import EVERYTHING
from curation.selection.load_inputs import read_candidates, read_scores
from curation.selection.tables import CURVES, SELECTIONS, SETTINGS
from curation.stage_outputs import Upstream
from curation.stages.stage import Stage, StageContext
from medsift import records
from medsift.manifest.schema import arrow_schema


class SelectStage(Stage):
    """Select every row that may be trained on, and then each selection of the recipe.

    The selection of everything is in the order of sample ids. Rows of a split other than `train`
    are kept in the manifest but never selected. A row's weight is the number of input rows that it
    represents: itself and those dropped for it.
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
        samples = read_samples(context.upstream)
        decisions = context.upstream.dedup.decisions.read(["witness"])
        probed = sum(
            probe_of(one).cells for one in recipe.selections if one.budget.auto is not None
        )
        context.begin(samples.num_rows + probed, "samples and trainings" if probed else "samples")
        everything = select_everything(samples, decisions, recipe.strata)
        outputs.selections.write(everything)
        outputs.selection_settings.write(_settings(everything, samples, recipe))
        if recipe.selections:
            with context.timed("neighbours") as watch:
                candidates = read_candidates(
                    context.run_dir, context.upstream, recipe, context.executor.run
                )
                watch.rows = len(candidates)
            scores = read_scores(context.upstream)
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
                        context.upstream,
                        recipe,
                        candidates,
                        scores,
                        config,
                        context.executor,
                        _by_steps(context.advance),
                    )
                for name, table in made.tables(candidates, ordinal).items():
                    getattr(outputs, name).write(table, ordinal)
        context.advance(samples.num_rows)


def _by_steps(advance: Callable[[int], None]) -> Callable[[int], None]:
    """Return a function that takes the number done so far, and advances by what is new."""
    before = 0

    def advance_to(done: int) -> None:
        nonlocal before
        advance(done - before)
        before = done

    return advance_to


def select_everything(
    samples: pa.Table, decisions: pa.Table, strata: Sequence[str] = records.STRATUM_TAGS
) -> pa.Table:
    """Return all training samples as a selection: rank by sample id, weight = rows represented."""
    samples = training_samples(samples)
    columns = list(dict.fromkeys(["sample_id", "row_id", *strata]))
    ordered = samples.select(columns).sort_by([("sample_id", "ascending"), ("row_id", "ascending")])
    n = ordered.num_rows
    return pa.Table.from_arrays(
        [
            pa.repeat(EVERYTHING, n),
            pa.array(np.arange(n)),
            ordered["sample_id"],
            ordered["row_id"],
            pa.array(represented_rows(ordered, decisions)),
            pa.nulls(n, pa.float64()),
            pa.array(strata_of(ordered, strata), pa.string()),
        ],
        schema=SELECTIONS,
    )


def _settings(everything: pa.Table, samples: pa.Table, recipe: Recipe) -> pa.Table:
    """Return the settings of the selection of everything, which covers the pool completely."""
    rows = pc.is_in(samples["row_id"], everything["row_id"].combine_chunks())
    count = everything.num_rows
    row = {
        "selection": EVERYTHING,
        "ordinal": 0,
        "method": "everything",
        "budget": "100%",
        "settings": "{}",
        "seed": recipe.seed,
        "fingerprint": records.digest(*everything["sample_id"].to_pylist()),
        "pool": count,
        "selected": count,
        "tokens": int(np.sum(estimate_tokens(samples.filter(rows)))),
        "coverage": 1.0 if count else None,
    }
    return pa.Table.from_pylist([row], schema=SETTINGS)
