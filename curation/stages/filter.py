"""Drop the rows that the recipe's own filters refuse; a recipe without any skips this stage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import pyarrow as pa

from curation.current_samples import PLACE, current_sql, with_texts
from curation.filters import AnyFilter
from curation.joins import joining
from curation.mapped import TEXTS
from curation.recipe import Recipe
from curation.stage_outputs import Upstream
from curation.stages.stage import Stage, StageContext
from curation.stages.work_files import WorkFile, WorkFolder
from medsift import records
from medsift.execution import Tables


@dataclass(frozen=True, slots=True)
class FilterRows:
    """Apply the filters to a batch of samples on a worker."""

    filters: Sequence[AnyFilter]
    work: WorkFolder

    def __call__(self, item: WorkFile) -> Iterator[Tables]:
        """Yield `decisions`; a row is dropped for the first filter that refuses it."""
        samples = self.work.read(item)
        ids, sample_ids = samples["row_id"].to_pylist(), samples["sample_id"].to_pylist()
        entries: dict[int, dict[str, Any]] = {}
        for row_filter in self.filters:
            for row, drop in row_filter.drops(samples).items():
                if row not in entries:
                    entries[row] = records.decision(
                        ids[row],
                        FilterStage.name,
                        records.DROPPED,
                        f"filter:{row_filter.name}",
                        sample=sample_ids[row],
                        value=drop.value,
                        detail=drop.detail,
                    )
        yield {"decisions": records.decisions([entries[row] for row in sorted(entries)])}


class FilterStage(Stage):
    """Apply the filters of the recipe in their order, before any text is encoded."""

    name: ClassVar[str] = "filter"
    version: ClassVar[int] = 1
    outputs: ClassVar[Mapping[str, pa.Schema]] = {}

    def applies(self, recipe: Recipe) -> bool:
        """Return whether the recipe has a filter: without one the stage is left out."""
        return bool(recipe.filters)

    def settings(self, recipe: Recipe, upstream: Upstream) -> Any:
        """Return the filters. Raises RecipeError when one does not fit the columns."""
        return [row_filter.fingerprint() for row_filter in recipe.filters]

    def run(self, context: StageContext) -> None:
        """Write `decisions`."""
        upstream, filters = context.upstream, context.recipe.filters
        work = WorkFolder(context.folder / "work" / "samples")
        short = [name for name in records.SAMPLES.names if name not in TEXTS.names]
        query = f"SELECT * FROM ({current_sql(upstream, [*short, PLACE])}) ORDER BY {PLACE}"
        with joining(context.scratch) as db:
            most = context.recipe.compute.rows_per_batch
            tables = with_texts(db, upstream, query, records.SAMPLES.names, most)
            items = work.write(tables, records.SAMPLES)
        count = sum(item.rows for item in items)
        context.begin(count, "samples")
        with context.timed("filter", count):
            context.executor.stream(
                items, lambda: FilterRows(filters, work), context.folder, context.advance
            )
        work.remove(items)
