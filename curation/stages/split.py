"""Stage 5: splits that share no picture, case or patient, where the recipe asks for new ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq

from curation import records
from curation.dedup import LEAKS
from curation.pool import stratum_names
from curation.recipe import Recipe
from curation.splits import assign_splits, components
from curation.stages.base import StageContext
from curation.stages.embed import keep_all
from curation.storage import read_folder, write_table


class SplitStage:
    """Gives every sample its split; drops none."""

    name: ClassVar[str] = "split"
    version: ClassVar[int] = 1

    def settings(self, recipe: Recipe, upstream: Mapping[str, Path]) -> Any:
        """Level, shares, strata and the seed, where new splits are wanted."""
        if recipe.splits.assign is None:
            return {"assign": None}
        splits = recipe.splits.model_dump(mode="json")
        return {"splits": splits, "strata": list(recipe.strata), "seed": recipe.seed}

    def run(self, context: StageContext) -> None:
        """Write `samples` with their split, and the `leaks` between splits: new ones have none."""
        recipe, before = context.recipe, context.upstream["dedup"] / "samples"
        leaks = context.folder / "leaks" / "part-000000.parquet"
        if recipe.splits.assign is None:
            write_table(read_folder(context.upstream["dedup"] / "leaks", LEAKS), leaks)
            keep_all(before, context.folder)
            return
        write_table(LEAKS.empty_table(), leaks)
        samples = read_folder(before, records.SAMPLES)
        context.begin(samples.num_rows, "samples")
        groups = pq.read_table(context.upstream["dedup"] / "groups")
        splits = assign_splits(
            samples["sample_id"].to_pylist(),
            components(samples, groups, recipe.splits.assign),
            stratum_names(samples, recipe.strata),
            recipe.splits.shares,
            recipe.seed,
        )
        split = with_splits(samples, splits)
        write_table(split, context.folder / "samples" / "part-000000.parquet")
        part = context.folder / "assigned" / "part-000000.parquet"
        write_table(split.select(["row_id", "split"]), part)
        decisions = context.folder / "decisions" / "part-000000.parquet"
        write_table(records.empty(records.DECISIONS), decisions)
        context.advance(samples.num_rows)


def with_splits(samples: pa.Table, splits: Sequence[str | None]) -> pa.Table:
    """The samples (n) with these splits (n)."""
    place = samples.schema.get_field_index("split")
    return samples.set_column(place, records.SAMPLES.field("split"), pa.array(splits, pa.string()))
