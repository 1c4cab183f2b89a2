"""Stage 5: splits that share no picture, case or patient, where the recipe asks for new ones."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curation.dedup import LEAKS
from curation.matching.image_copies import image_set
from curation.neighbors import TileRunner
from curation.pool import stratum_names
from curation.recipe import Recipe
from curation.splits import find_slices, with_slices
from curation.stages.embed import keep_all
from curation.stages.stage import StageContext
from medsift import records
from medsift.leakage_groups import components
from medsift.split_assignment import assign_splits
from medsift.storage.parts import read_folder, read_part, write_table
from medsift.storage.vectors import read_vectors

logger = logging.getLogger(__name__)


class SplitStage:
    """Gives every sample its split; drops none."""

    name: ClassVar[str] = "split"
    version: ClassVar[int] = 2

    def settings(self, recipe: Recipe, upstream: Mapping[str, Path]) -> Any:
        """Level, shares, strata and the seed, where new splits are wanted."""
        if recipe.splits.assign is None:
            return {"assign": None}
        splits = recipe.splits.model_dump(mode="json")
        settings = {"splits": splits, "strata": list(recipe.strata), "seed": recipe.seed}
        if recipe.splits.slices is not None:
            settings["images"] = recipe.dedup.image.model_dump(mode="json")
        return settings

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
        groups = read_part(context.upstream["dedup"] / "groups")
        if recipe.splits.slices is not None:
            groups = self._linked(context, samples, groups)
        labels = components(samples, groups, recipe.splits.assign)
        _warn_of_large(labels, min(recipe.splits.shares.values()))
        splits = assign_splits(
            samples["sample_id"].to_pylist(),
            labels,
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

    def _linked(self, context: StageContext, samples: pa.Table, groups: pa.Table) -> pa.Table:
        """The groups with neighbouring slices in one; how many were linked is measured."""
        with context.timed("slices", groups.num_rows):
            linked, pairs = slice_groups(
                samples, groups, context.recipe, context.upstream["images"], context.executor.run
            )
        line = {"stage": self.name, "name": "slice_pairs", "value": float(pairs)}
        measures = pa.Table.from_pylist([line], schema=records.MEASURES)
        write_table(measures, context.folder / "measures" / "part-000000.parquet")
        return linked


def slice_groups(
    samples: pa.Table, groups: pa.Table, recipe: Recipe, folder: Path, run: TileRunner | None = None
) -> tuple[pa.Table, int]:
    """Copy groups in which neighbouring slices are one, and the pairs of pictures that link them.

    `folder` is that of the stage `images`. Nothing is linked where the recipe seeks no slices.
    """
    if recipe.splits.slices is None or not groups.num_rows:
        return groups, 0
    facts = read_folder(folder / "images", records.IMAGES)
    facts = facts.filter(pc.is_in(facts["image_id"], groups["image_id"].combine_chunks()))
    images = image_set(facts, read_vectors(folder / "vectors"))
    threshold, copies = recipe.splits.slices, recipe.dedup.image
    slices = find_slices(images, facts, samples, threshold, copies, recipe.neighbors, run)
    return with_slices(groups, images.ids, slices), len(slices)


def _warn_of_large(labels: NDArray[np.int64], share: float) -> None:
    """Say so when one group holds more samples than the smallest split should get."""
    largest = int(np.unique(labels, return_counts=True)[1].max(initial=0))
    if largest > share * len(labels):
        logger.warning(
            "one group that no split may cut holds %s of %s samples, and the smallest split should "
            "get %s: if neighbouring slices link too much, raise splits.slices or set it to null",
            f"{largest:,}",
            f"{len(labels):,}",
            f"{share:.0%}",
        )


def with_splits(samples: pa.Table, splits: Sequence[str | None]) -> pa.Table:
    """The samples (n) with these splits (n)."""
    place = samples.schema.get_field_index("split")
    return samples.set_column(place, records.SAMPLES.field("split"), pa.array(splits, pa.string()))
