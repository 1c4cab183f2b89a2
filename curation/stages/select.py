"""The last stage: ordered, weighted selections of the rows that are left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.recipe import Recipe
from curation.selection import (
    EVERYTHING,
    SELECTIONS,
    SETTINGS,
    curve_table,
    select,
    selection_table,
    settings_table,
)
from curation.selection.load_inputs import read_candidates, read_scores
from curation.selection.tokens import estimated_tokens
from curation.stages.embed import keep_all
from curation.stages.stage import StageContext
from medsift import records
from medsift.storage.parts import read_folder, write_table

__all__ = ["EVERYTHING", "SELECTIONS", "SelectStage", "select_everything", "stratum"]

TRAIN: Final = "train"


class SelectStage:
    """Selects every row that may be trained on, and then each selection of the recipe.

    The selection of everything is in the order of sample ids. Rows of a split other than `train`
    are kept in the manifest but never selected. There a row's weight is the number of input rows it
    stands for: itself and those dropped for it.
    """

    name: ClassVar[str] = "select"
    version: ClassVar[int] = 2

    def settings(self, recipe: Recipe, upstream: Mapping[str, Path]) -> Any:
        """The selections, and what their neighbours and strata are; scores are upstream."""
        settings: dict[str, Any] = {"selection": EVERYTHING, "strata": list(recipe.strata)}
        if recipe.selections:
            settings |= {
                "selections": [one.model_dump(mode="json") for one in recipe.selections],
                "graph": recipe.graph.model_dump(mode="json"),
                "neighbors": recipe.neighbors.model_dump(mode="json", exclude={"spread_above"}),
                "seed": recipe.seed,
            }
        return settings

    def run(self, context: StageContext) -> None:
        """Write `selections`, `selection_settings` and `curves`, and pass the samples on."""
        before = list(context.upstream.values())[-1]
        samples = read_folder(before / "samples", records.SAMPLES)
        decisions = read_folder(context.upstream["dedup"] / "decisions", records.DECISIONS)
        context.begin(samples.num_rows, "samples")
        everything = select_everything(samples, decisions, context.recipe.strata)
        _write(context, "selections", 0, everything)
        _write(context, "selection_settings", 0, _settings(everything, samples, context.recipe))
        if context.recipe.selections:
            _select(context)
        keep_all(before / "samples", context.folder)
        context.advance(samples.num_rows)


def _select(context: StageContext) -> None:
    recipe = context.recipe
    with context.timed("neighbours") as watch:
        candidates = read_candidates(
            context.run_dir,
            context.upstream,
            recipe.strata,
            recipe.graph,
            recipe.neighbors,
            context.executor.run,
        )
        watch.rows = len(candidates)
    scores = read_scores(context.upstream)
    for ordinal, config in enumerate(recipe.selections, start=1):
        with context.timed(f"select {config.name}", len(candidates)):
            found = select(candidates, scores, config, recipe.seed, context.executor)
        _write(context, "selections", ordinal, selection_table(found, candidates))
        _write(context, "curves", ordinal, curve_table(found))
        line = settings_table(found, len(candidates), ordinal)
        _write(context, "selection_settings", ordinal, line)


def _write(context: StageContext, name: str, ordinal: int, table: pa.Table) -> None:
    write_table(table, context.folder / name / f"part-{ordinal:06d}.parquet")


def select_everything(
    samples: pa.Table, decisions: pa.Table, strata: Sequence[str] = records.STRATUM_TAGS
) -> pa.Table:
    """All training samples as a selection: rank by sample id, weight = rows stood for."""
    mass = Counter(decisions["witness"].to_pylist())
    samples = samples.filter(pc.equal(pc.fill_null(samples["split"], TRAIN), TRAIN))
    columns = ["sample_id", "row_id", *strata]
    ordered = samples.select(columns).sort_by([("sample_id", "ascending"), ("row_id", "ascending")])
    lines = [
        {
            "selection": EVERYTHING,
            "rank": rank,
            "sample_id": line["sample_id"],
            "row_id": line["row_id"],
            "weight": 1.0 + mass[line["row_id"]],
            "gain": None,
            "stratum": stratum(line, strata),
        }
        for rank, line in enumerate(ordered.to_pylist())
    ]
    return pa.Table.from_pylist(lines, schema=SELECTIONS)


def _settings(everything: pa.Table, samples: pa.Table, recipe: Recipe) -> pa.Table:
    """The line of the selection of everything: it covers itself."""
    rows = pc.is_in(samples["row_id"], everything["row_id"].combine_chunks())
    count = everything.num_rows
    line = {
        "selection": EVERYTHING,
        "ordinal": 0,
        "method": "everything",
        "budget": "100%",
        "settings": "{}",
        "seed": recipe.seed,
        "fingerprint": records.digest(*everything["sample_id"].to_pylist()),
        "pool": count,
        "selected": count,
        "tokens": int(np.sum(estimated_tokens(samples.filter(rows)))),
        "coverage": 1.0 if count else None,
    }
    return pa.Table.from_pylist([line], schema=SETTINGS)


def stratum(tags: Mapping[str, str | None], names: Sequence[str] = records.STRATUM_TAGS) -> str:
    """Name of a sample's stratum: its tags, joined by " / "."""
    return " / ".join(tags[tag] or "unknown" for tag in names)
