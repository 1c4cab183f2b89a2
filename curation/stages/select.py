"""Stage 5: an ordered, weighted selection of the rows that are left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

import pyarrow as pa
import pyarrow.compute as pc

from curation import records
from curation.recipe import Recipe
from curation.stages.base import StageContext
from curation.stages.embed import keep_all
from curation.storage import read_folder, write_table

EVERYTHING: Final = "kept"
TRAIN: Final = "train"

SELECTIONS: Final = pa.schema(
    [
        pa.field("selection", pa.string(), nullable=False),
        pa.field("rank", pa.int64(), nullable=False),
        pa.field("sample_id", pa.string(), nullable=False),
        pa.field("row_id", pa.string(), nullable=False),
        pa.field("weight", pa.float64(), nullable=False),
        pa.field("gain", pa.float64()),
        pa.field("stratum", pa.string(), nullable=False),
    ]
)


class SelectStage:
    """Selects every row that dedup kept and that may be trained on, in the order of sample ids.

    Rows of a split other than `train` are kept in the manifest but never selected. A row's weight
    is the number of input rows it stands for: itself and those dropped for it.
    """

    name: ClassVar[str] = "select"
    version: ClassVar[int] = 1

    def settings(self, recipe: Recipe, upstream: Mapping[str, Path]) -> Any:
        """Nothing but the upstream decides."""
        return {"selection": EVERYTHING}

    def run(self, context: StageContext) -> None:
        """Write `selections`, and pass the samples on."""
        dedup = context.upstream["dedup"]
        samples = read_folder(dedup / "samples", records.SAMPLES)
        decisions = read_folder(dedup / "decisions", records.DECISIONS)
        context.begin(samples.num_rows, "samples")
        selection = select_everything(samples, decisions)
        write_table(selection, context.folder / "selections" / "part-000000.parquet")
        keep_all(dedup / "samples", context.folder)
        context.advance(samples.num_rows)


def select_everything(samples: pa.Table, decisions: pa.Table) -> pa.Table:
    """All training samples as a selection: rank by sample id, weight = rows stood for."""
    mass = Counter(decisions["witness"].to_pylist())
    samples = samples.filter(pc.equal(pc.fill_null(samples["split"], TRAIN), TRAIN))
    columns = ["sample_id", "row_id", *records.STRATUM_TAGS]
    ordered = samples.select(columns).sort_by([("sample_id", "ascending"), ("row_id", "ascending")])
    lines = [
        {
            "selection": EVERYTHING,
            "rank": rank,
            "sample_id": line["sample_id"],
            "row_id": line["row_id"],
            "weight": 1.0 + mass[line["row_id"]],
            "gain": None,
            "stratum": stratum(line),
        }
        for rank, line in enumerate(ordered.to_pylist())
    ]
    return pa.Table.from_pylist(lines, schema=SELECTIONS)


def stratum(tags: Mapping[str, str | None]) -> str:
    """Name of a sample's stratum: its modality, task type and answer type."""
    return " / ".join(tags[tag] or "unknown" for tag in records.STRATUM_TAGS)
