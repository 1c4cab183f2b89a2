"""Stage 4: rows that repeat a kept row go, with that row as their witness."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from curation.dedup import DedupResult, deduplicate
from curation.recipe import Recipe
from curation.stages.stage import StageContext
from medsift import records
from medsift.storage.parts import read_folder, write_table
from medsift.storage.vectors import read_vectors

RESULT_TABLES = ("clusters", "conflicts", "leaks", "sweep", "groups")


class DedupStage:
    """Looks at all samples together."""

    name: ClassVar[str] = "dedup"
    version: ClassVar[int] = 5

    def settings(self, recipe: Recipe, upstream: Mapping[str, Path]) -> Any:
        """Thresholds, priorities, search settings and the seed."""
        return {
            "dedup": recipe.dedup.model_dump(mode="json"),
            "neighbors": recipe.neighbors.model_dump(mode="json", exclude={"spread_above"}),
            "seed": recipe.seed,
        }

    def run(self, context: StageContext) -> None:
        """Write `samples`, `decisions`, `clusters`, `conflicts`, `leaks`, `sweep`, `measures`."""
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
                run=context.executor.run,
            )
        self._write(context, result)
        context.advance(samples.num_rows)

    def _write(self, context: StageContext, result: DedupResult) -> None:
        folder = context.folder
        write_table(result.kept, folder / "samples" / "part-000000.parquet")
        write_table(result.decisions, folder / "decisions" / "part-000000.parquet")
        for name in RESULT_TABLES:
            write_table(getattr(result, name), folder / name / "part-000000.parquet")
        write_table(measures(result.stats), folder / "measures" / "part-000000.parquet")


def measures(stats: Mapping[str, Any]) -> pa.Table:
    """The counts and recalls of a search as lines (name, threshold, value, note).

    A mapping's lines are named "name inner"; where it maps cosines, they have that threshold. How
    a search was made is the note of its recall.
    """
    lines = [{"stage": "dedup", **line} for line in _lines(stats)]
    return pa.Table.from_pylist(lines, schema=records.MEASURES)


def _lines(stats: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for name, value in stats.items():
        if isinstance(value, Mapping):
            for line in _lines(value):
                yield _under(name, line)
        elif not isinstance(value, str):
            note = stats.get(name.removesuffix("recall") + "method")
            yield {"name": name, "value": float(value), "note": note}


def _under(name: str, line: dict[str, Any]) -> dict[str, Any]:
    """The line of an inner mapping, with the outer name before its own."""
    inner: str = line["name"]
    if inner[0].isdecimal():
        return line | {"name": name, "threshold": float(inner)}
    return line | {"name": f"{name} {inner}"}
