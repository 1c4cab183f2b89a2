"""Stage 4: rows that repeat a kept row go, with that row as their witness."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from curation import records
from curation.dedup import ContentVectors, DedupResult, deduplicate
from curation.recipe import Recipe
from curation.stages.base import StageContext
from curation.storage import parts, read_folder, write_json, write_table

RESULT_TABLES = ("clusters", "conflicts", "leaks", "sweep", "groups")


class DedupStage:
    """Looks at all samples together."""

    name: ClassVar[str] = "dedup"
    version: ClassVar[int] = 1

    def settings(self, recipe: Recipe, upstream: Mapping[str, Path]) -> Any:
        """Thresholds, priorities, search settings and the seed."""
        return {
            "dedup": recipe.dedup.model_dump(mode="json"),
            "neighbors": recipe.neighbors.model_dump(mode="json"),
            "seed": recipe.seed,
        }

    def run(self, context: StageContext) -> None:
        """Write `samples`, `decisions`, `clusters`, `conflicts`, `leaks`, `sweep`."""
        recipe = context.recipe
        images_folder, embed_folder = context.upstream["images"], context.upstream["embed"]
        samples = read_folder(embed_folder / "samples", records.SAMPLES)
        context.begin(samples.num_rows, "samples")
        with context.timed("deduplicate", samples.num_rows):
            result = deduplicate(
                samples,
                read_folder(images_folder / "images", records.IMAGES),
                read_vectors(images_folder / "vectors"),
                read_vectors(embed_folder / "vectors"),
                recipe.dedup,
                neighbors=recipe.neighbors,
                seed=recipe.seed,
            )
        self._write(context, result)
        context.advance(samples.num_rows)

    def _write(self, context: StageContext, result: DedupResult) -> None:
        folder = context.folder
        write_table(result.kept, folder / "samples" / "part-000000.parquet")
        write_table(result.decisions, folder / "decisions" / "part-000000.parquet")
        for name in RESULT_TABLES:
            write_table(getattr(result, name), folder / name / "part-000000.parquet")
        write_json(result.stats, folder / "stats.json")


def read_vectors(folder: Path) -> ContentVectors:
    """Every (content id, vector) of a folder once, sorted by content id."""
    tables = [pq.read_table(path) for path in parts(folder)]
    if not any(table.num_rows for table in tables):
        return ContentVectors(ids=[], matrix=np.zeros((0, 0), dtype=np.float32))
    table = pa.concat_tables(table for table in tables if table.num_rows)
    ids = np.asarray(table["content_id"].to_pylist(), dtype=object)
    _, first = np.unique(ids.astype(str), return_index=True)
    column = table["vector"].combine_chunks()
    matrix = column.flatten().to_numpy(zero_copy_only=False).reshape(len(ids), -1)
    return ContentVectors(ids=ids[first].tolist(), matrix=matrix[first])
