"""Assign splits that share no picture, case or patient, where the recipe asks for new ones."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, ClassVar, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curation.current_samples import read_samples
from curation.matching.image_copies import image_set
from curation.neighbors import TileRunner
from curation.pool import stratum_names
from curation.recipe import Recipe
from curation.splits import find_slices, with_slices
from curation.stage_outputs import StageOutputs, Upstream
from curation.stages.stage import Stage, StageContext
from medsift import records
from medsift.leakage_groups import components
from medsift.records import LEAKS
from medsift.split_assignment import assign_splits

logger = logging.getLogger(__name__)

ASSIGNED: Final = pa.schema([records.SAMPLES.field(name) for name in ("row_id", "split")])


class SplitStage(Stage):
    """Set the split of every sample; drop none."""

    name: ClassVar[str] = "split"
    version: ClassVar[int] = 3
    outputs: ClassVar[Mapping[str, pa.Schema]] = {
        "updates": ASSIGNED,
        "leaks_found": LEAKS,
        "measures": records.MEASURES,
    }

    def settings(self, recipe: Recipe, upstream: Upstream) -> Any:
        """Return level, shares, strata and the seed, where new splits are wanted."""
        if recipe.splits.assign is None:
            return {"assign": None}
        splits = recipe.splits.with_first_names(recipe.splits.model_dump(mode="json"))
        settings = {"splits": splits, "strata": list(recipe.strata), "seed": recipe.seed}
        if recipe.splits.slice_correlation is not None:
            copies = recipe.dedup.image
            settings["images"] = copies.with_first_names(copies.model_dump(mode="json"))
        return settings

    def run(self, context: StageContext) -> None:
        """Write new splits, or the `leaks` between given ones: new ones have none."""
        recipe, dedup, outputs = context.recipe, context.upstream.dedup, context.outputs
        if recipe.splits.assign is None:
            outputs.leaks_found.write(dedup.split_leaks.read())
            return
        samples = read_samples(context.upstream)
        context.begin(samples.num_rows, "samples")
        groups = dedup.groups.read()
        if recipe.splits.slice_correlation is not None:
            with context.timed("slices", groups.num_rows):
                images, run = context.upstream.images, context.executor.run
                groups, pairs = slice_groups(samples, groups, recipe, images, run)
            row = {"stage": self.name, "name": "slice_pairs", "value": float(pairs)}
            outputs.measures.write(pa.Table.from_pylist([row], schema=records.MEASURES))
        labels = components(samples, groups, recipe.splits.assign)
        _warn_of_large(labels, min(recipe.splits.shares.values()))
        splits = assign_splits(
            samples["sample_id"].to_pylist(),
            labels,
            stratum_names(samples, recipe.strata),
            recipe.splits.shares,
            recipe.seed,
        )
        assigned = [samples["row_id"], pa.array(splits, pa.string())]
        outputs.updates.write(pa.Table.from_arrays(assigned, schema=ASSIGNED))
        context.advance(samples.num_rows)


def slice_groups(
    samples: pa.Table,
    groups: pa.Table,
    recipe: Recipe,
    seen: StageOutputs,
    run: TileRunner | None = None,
) -> tuple[pa.Table, int]:
    """Return copy groups that join neighbouring slices, and the number of pairs that link them.

    Args:
        samples: The samples (n), with studies and pictures.
        groups: ``GROUPS`` of copies.
        recipe: Its `splits.slice_correlation` is the threshold; null links nothing.
        seen: The outputs of the stage `images`.
        run: How the comparisons are spread; in this process when not given.
    """
    if recipe.splits.slice_correlation is None or not groups.num_rows:
        return groups, 0
    facts = seen.images.read()
    facts = facts.filter(pc.is_in(facts["image_id"], groups["image_id"].combine_chunks()))
    images = image_set(facts, seen.vectors.read_vectors())
    threshold, copies = recipe.splits.slice_correlation, recipe.dedup.image
    slices = find_slices(images, facts, samples, threshold, copies, recipe.neighbors, run)
    return with_slices(groups, images.ids, slices), len(slices)


def _warn_of_large(labels: NDArray[np.int64], share: float) -> None:
    """Warn when one group has more samples than the smallest split should get."""
    largest = int(np.unique(labels, return_counts=True)[1].max(initial=0))
    if largest > share * len(labels):
        logger.warning(
            "one group that no split may cut has %s of %s samples, and the smallest split should "
            "get %s: if neighbouring slices link too much, raise splits.slice_correlation or set "
            "it to null",
            *(f"{largest:,}", f"{len(labels):,}", f"{share:.0%}"),
        )
