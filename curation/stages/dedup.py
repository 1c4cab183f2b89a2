"""Drop rows that repeat a kept row, with that row as their witness."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import pyarrow as pa

from curation.current_samples import count_samples, read_samples
from curation.dedup import deduplicate
from curation.dedup.partition import SHARD_BYTES
from curation.dedup.schemas import CLUSTERS, CONFLICTS, SWEEP
from curation.dedup.search_tables import SEARCH_TABLES, write_search
from curation.dedup.text_keys import KEYS
from curation.mapped import mapped_texts
from curation.recipe import Recipe
from curation.stage_outputs import Upstream
from curation.stages.dedup_shards import deduplicate_by_shards
from curation.stages.earlier_copies import earlier_search, search_settings
from curation.stages.settled_rows import DECIDED
from curation.stages.stage import Stage, StageContext
from medsift import records
from medsift.records import GROUPS, LEAKS


class DedupStage(Stage):
    """Compare all samples with each other."""

    name: ClassVar[str] = "dedup"
    version: ClassVar[int] = 6
    outputs: ClassVar[Mapping[str, pa.Schema]] = {
        "clusters": CLUSTERS,
        "conflicts_found": CONFLICTS,
        "split_leaks": LEAKS,
        "sweep": SWEEP,
        "groups": GROUPS,
        "measures": records.MEASURES,
        "text_keys": KEYS,
        "decided": DECIDED,
        **SEARCH_TABLES,
    }

    def settings(self, recipe: Recipe, upstream: Upstream) -> Any:
        """Return thresholds, priorities, search settings and the seed."""
        return {
            "dedup": recipe.dedup.with_first_names(recipe.dedup.model_dump(mode="json")),
            "neighbors": recipe.neighbors.identity(),
            "seed": recipe.seed,
        }

    def run(self, context: StageContext) -> None:
        """Write `decisions` and every table that `outputs` names."""
        recipe, outputs = context.recipe, context.outputs
        count = count_samples(context.upstream)
        context.begin(count, "samples")
        # Redundant samples are sought among all: no shard holds what they may repeat.
        whole = recipe.dedup.semantic.action == "drop"
        texts = mapped_texts(context.upstream.ingest)
        small = count <= recipe.compute.rows_per_shard and texts.nbytes <= SHARD_BYTES
        if whole or small:
            with context.timed("deduplicate", count):
                stats = _deduplicate(context)
        else:
            stats = deduplicate_by_shards(context)
        outputs.measures.write(measures(stats))
        context.advance(count)


def _deduplicate(context: StageContext) -> Mapping[str, Any]:
    """Write the tables of the stage but `measures`, from all samples at once."""
    images, embed, outputs = context.upstream.images, context.upstream.embed, context.outputs
    result = deduplicate(
        read_samples(context.upstream),
        images.images.read(),
        images.vectors.read_vectors(),
        embed.vectors.read_vectors(),
        context.recipe.dedup,
        neighbors=context.recipe.neighbors,
        seed=context.recipe.seed,
        run=context.executor.run,
        earlier=earlier_search(context),
    )
    if result.search is not None:
        write_search(outputs, result.search, search_settings(context.recipe))
    outputs.decisions.write(result.decisions)
    outputs.clusters.write(result.clusters)
    outputs.conflicts_found.write(result.conflicts)
    outputs.split_leaks.write(result.leaks)
    outputs.sweep.write(result.sweep)
    outputs.groups.write(result.groups)
    return result.stats


def measures(stats: Mapping[str, Any]) -> pa.Table:
    """Return the counts and recalls of a search as rows (name, threshold, value, note).

    The rows of an inner mapping are named "name inner"; a cosine as inner name is a threshold. The
    note of a recall is the method of the search.
    """
    rows = [{"stage": "dedup", **row} for row in _rows(stats)]
    return pa.Table.from_pylist(rows, schema=records.MEASURES)


def _rows(stats: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for name, value in stats.items():
        if isinstance(value, Mapping):
            for row in _rows(value):
                inner: str = row["name"]
                if inner[0].isdecimal():
                    yield row | {"name": name, "threshold": float(inner)}
                else:
                    yield row | {"name": f"{name} {inner}"}
        elif not isinstance(value, str):
            note = stats.get(name.removesuffix("recall") + "method")
            yield {"name": name, "value": float(value), "note": note}
