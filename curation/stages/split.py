"""Assign splits that share no picture, case or patient, where the recipe asks for new ones."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.current_samples import PLACE, current_sql, with_texts
from curation.joins import joining
from curation.mapped import mapped_images
from curation.neighbors import TileRunner
from curation.pool import stratum_names
from curation.recipe import Recipe
from curation.splits import find_slices, with_slices
from curation.splits.group_rows import group_rows
from curation.stage_outputs import StageOutputs, Upstream
from curation.stages.stage import Stage, StageContext
from medsift import records
from medsift.leakage_groups import SERIES, TAG_OF_LEVEL, words_id
from medsift.records import LEAKS
from medsift.split_assignment import assign_splits
from medsift.storage.parts import BATCH_ROWS

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

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
        groups = dedup.groups.read()
        with joining(context.scratch) as db:
            count = _number_rows(context, db)
            context.begin(count, "samples")
            if recipe.splits.slice_correlation is not None:
                shown = db.sql("SELECT images, modality FROM rows ORDER BY row").to_arrow_table()
                with context.timed("slices", groups.num_rows):
                    images, run = context.upstream.images, context.executor.run
                    groups, pairs = slice_groups(shown, groups, recipe, images, run)
                row = {"stage": self.name, "name": "slice_pairs", "value": float(pairs)}
                outputs.measures.write(pa.Table.from_pylist([row], schema=records.MEASURES))
            labels = group_rows(db, groups, recipe.splits.assign)
            _warn_of_large(labels, min(recipe.splits.shares.values()))
            names = ", ".join(dict.fromkeys(["sample_id", *recipe.strata]))
            samples = db.sql(f"SELECT {names} FROM rows ORDER BY row").to_arrow_table()
            splits = assign_splits(
                samples["sample_id"].combine_chunks(),
                labels,
                stratum_names(samples, recipe.strata),
                recipe.splits.shares,
                recipe.seed,
            )
            del samples
            outputs.updates.write_all(_assigned(db, splits))
        context.advance(count)


def _number_rows(context: StageContext, db: DuckDBPyConnection) -> int:
    """Write the tables `rows` and `words` of `group_rows`; return the number of rows."""
    tags = dict.fromkeys([*context.recipe.strata, *TAG_OF_LEVEL.values(), SERIES, "modality"])
    names = dict.fromkeys(["row_id", "sample_id", "source", "images", *tags])
    samples = current_sql(context.upstream, [*names, PLACE])
    db.execute(
        "CREATE TABLE rows AS SELECT row_number() OVER (ORDER BY row_id) - 1 AS row, * "
        f"FROM ({samples})"
    )
    db.execute("CREATE TABLE words (row BIGINT, question VARCHAR)")
    bare = f"SELECT row, {PLACE} FROM rows WHERE len(coalesce(images, [])) = 0 ORDER BY {PLACE}"
    # The words are read by another connection, as an answer ends with the next statement.
    with db.cursor() as reader:
        reader.execute("USE work")
        for table in with_texts(reader, context.upstream, bare, ["row", "question", "answer"]):
            rows, *said = table.columns
            pairs = zip(*(column.to_pylist() for column in said), strict=True)
            digested = pa.table([rows, [words_id(*pair) for pair in pairs]], ["row", "question"])
            db.register("digested", digested)
            db.execute("INSERT INTO words SELECT * FROM digested")
            db.unregister("digested")
    return int(db.execute("SELECT count(*) FROM rows").fetchall()[0][0])


def _assigned(db: DuckDBPyConnection, splits: Sequence[str]) -> Iterator[pa.Table]:
    """Yield ``ASSIGNED`` of the numbered rows, some at a time."""
    start = 0
    for batch in db.sql("SELECT row_id FROM rows ORDER BY row").to_arrow_reader(BATCH_ROWS):
        some = pa.array(splits[start : start + batch.num_rows], pa.string())
        yield pa.Table.from_arrays([batch.column(0), some], schema=ASSIGNED)
        start += batch.num_rows


def slice_groups(
    samples: pa.Table,
    groups: pa.Table,
    recipe: Recipe,
    seen: StageOutputs,
    run: TileRunner | None = None,
) -> tuple[pa.Table, int]:
    """Return copy groups that join neighbouring slices, and the number of pairs that link them.

    Args:
        samples: Pictures and modality of the samples (n).
        groups: ``GROUPS`` of copies.
        recipe: Its `splits.slice_correlation` is the threshold; null links nothing.
        seen: The outputs of the stage `images`.
        run: How the comparisons are spread; in this process when not given.
    """
    if recipe.splits.slice_correlation is None or not groups.num_rows:
        return groups, 0
    facts = seen.images.read(["image_id", "width", "height"])
    images = mapped_images(seen).only(groups["image_id"].to_pylist())
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
