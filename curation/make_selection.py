"""Make a selection of a run; where its budget is `auto`, a probe decides the size first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa

from curation.probe.enough import Enough, find_enough
from curation.probe.heap import load_heap
from curation.probe.run_probe import ProbeInputs
from curation.recipe import Recipe
from curation.selection.config import SelectionConfig
from curation.selection.method import Candidates
from curation.selection.quality import Scores
from curation.selection.select import Selection, resolve, select
from curation.selection.tables import curve_table, selection_table, settings_table
from curation.stage_outputs import Upstream
from medsift.execution import Executor


@dataclass(frozen=True, slots=True)
class MadeSelection:
    """A selection, and the probe that decided its size, if one did."""

    selection: Selection
    enough: Enough | None

    def tables(
        self, candidates: Candidates, ordinal: int, created_at: datetime | None = None
    ) -> Mapping[str, pa.Table]:
        """Return the manifest's lines of the selection, by table.

        Args:
            candidates: The pool that it was made from.
            ordinal: Its place among the run's selections.
            created_at: When it was made, in UTC without a zone; None is the run's start.
        """
        tables = {
            "selections": selection_table(self.selection, candidates),
            "curves": curve_table(self.selection),
        }
        reason = {}
        if self.enough is not None:
            found = self.enough.probe
            reason = {"probe_id": found.probe_id, "explanation": self.enough.explanation}
            tables |= {"probe_runs": found.made_at(created_at), "probe_results": found.results}
        # Settings come last: where they are written, the selection is complete.
        lines = settings_table(self.selection, len(candidates), ordinal, created_at, reason)
        return tables | {"selection_settings": lines}


def make_selection(
    upstream: Upstream,
    recipe: Recipe,
    candidates: Candidates,
    scores: Scores,
    config: SelectionConfig,
    executor: Executor,
    advance: Callable[[int], None] = lambda done: None,
) -> MadeSelection:
    """Make a selection from finished stages.

    Args:
        upstream: The finished stages.
        recipe: Their recipe.
        candidates: Their pool with its neighbour graph.
        scores: Their scores.
        config: What to select.
        executor: How the work is spread; the result does not depend on it.
        advance: Called with the number of a probe's cells finished so far.

    Raises:
        UsageError: as `select`, and as `find_enough` where the budget is `auto`.
        InputError: vectors that are not finite.
    """
    config = resolve(config, recipe.seed)
    found = None
    if config.budget.auto is not None:
        heap = load_heap(upstream, recipe.strata)
        inputs = ProbeInputs(heap, scores, recipe.graph, recipe.neighbors)
        pool = upstream.last_deciding().fingerprint
        found = find_enough(inputs, config, config.seed or 0, pool, executor, advance)
    size = None if found is None else found.size(len(candidates))
    return MadeSelection(select(candidates, scores, config, recipe.seed, executor, size), found)
