"""Turn every record of every source into a sample or a ledger entry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import pyarrow as pa

from curation.ingest import IngestConfig, ingest
from curation.recipe import Recipe
from curation.sources.reader import Reader, Shard, Unread
from curation.stage_outputs import Upstream
from curation.stages.remarks import remark
from curation.stages.stage import Stage, StageContext
from medsift import records
from medsift.errors import InputError
from medsift.execution import Tables
from medsift.images.blob_store import BlobStore
from medsift.vocabulary import SPLITS, split_of

ROW_FACTS = pa.schema(
    [records.ROWS.field(name) for name in ("row_id", "source", "file", "index", "notes")]
)
SPLIT_OF_SOURCE = ["source", "split"]
MAX_LISTED = 10


@dataclass(frozen=True, slots=True)
class ReadShard:
    """Read one (reader, shard) on a worker, and sort its rows into samples and decisions."""

    config: IngestConfig
    blobs: BlobStore

    def __call__(self, item: tuple[Reader, Shard]) -> Iterator[Tables]:
        """Yield the tables `rows`, `samples` and `decisions` batch by batch."""
        reader, shard = item
        for rows in reader.read(shard, self.blobs):
            result = ingest(rows, self.config)
            yield {
                "rows": _row_facts(rows, result.samples),
                "samples": result.samples,
                "decisions": result.decisions,
            }


def _row_facts(rows: pa.Table, samples: pa.Table) -> pa.Table:
    """Return ``ROW_FACTS`` of the rows; a row that became a sample has that sample's notes."""
    columns = ["row_id", "notes"]
    of_sample = {row["row_id"]: row["notes"] for row in samples.select(columns).to_pylist()}
    read = rows.select(columns).to_pylist()
    notes = [of_sample.get(row["row_id"], row["notes"]) for row in read]
    facts = rows.select(ROW_FACTS.names)
    column = pa.array(notes, records.ROWS.field("notes").type)
    return facts.set_column(facts.schema.get_field_index("notes"), "notes", column).cast(ROW_FACTS)


class IngestStage(Stage):
    """Read the sources."""

    name: ClassVar[str] = "ingest"
    version: ClassVar[int] = 5
    outputs: ClassVar[Mapping[str, pa.Schema]] = {
        "rows": ROW_FACTS,
        "samples": records.SAMPLES,
        "measures": records.MEASURES,
    }

    def settings(self, recipe: Recipe, upstream: Upstream) -> Any:
        """Return the readers' fingerprints (settings and content of files) and the row rules."""
        return {
            "sources": [source.fingerprint() for source in recipe.sources],
            "ingest": recipe.ingest.model_dump(mode="json"),
        }

    def run(self, context: StageContext) -> None:
        """Write `rows`, `samples`, `decisions` and `measures`, and warn of what was not read."""
        recipe = context.recipe
        items = [(source, shard) for source in recipe.sources for shard in source.shards()]
        blobs = BlobStore((context.run_dir / "blobs").absolute())
        context.begin(None, "rows")
        with context.timed("read") as watch:
            context.executor.stream(
                items, lambda: ReadShard(recipe.ingest, blobs), context.folder, context.advance
            )
            watch.rows = context.outputs.rows.count()
        unread = remark(recipe.sources, context.outputs)
        if recipe.splits.assign is None:  # new splits take no notice of the sources'
            samples = context.outputs.samples.read(SPLIT_OF_SOURCE)
            check_splits(samples)
            check_columns_of_splits(samples, unread)


def check_columns_of_splits(samples: pa.Table, unread: Mapping[str, Sequence[Unread]]) -> None:
    """Raise InputError when samples have no split and an unread column seems to name test rows.

    They would be trained on without any sign of it.
    """
    import pyarrow.compute as pc

    silent = pc.unique(samples.filter(pc.is_null(samples["split"]))["source"]).to_pylist()
    for source in sorted(silent):
        for column in unread.get(source, ()):
            if any(split_of(word) != "train" for word in column.splits):
                message = (
                    f"source {source!r}: the column {column.column!r}, which nothing reads, looks"
                    f" like splits ({', '.join(column.splits)}); say under columns what the rows"
                    " are: an expression over it as split, or split: \"'train'\" for all"
                )
                raise InputError(message, code="split_unknown", source=source, column=column.column)


def check_splits(samples: pa.Table) -> None:
    """Raise InputError when samples have a split that is none of train, validation and test.

    Such rows would be neither trained on nor tested with, without any sign of it.
    """
    counted = samples.group_by(SPLIT_OF_SOURCE).aggregate([([], "count_all")]).to_pylist()
    unknown = sorted(
        (line["source"], line["split"], line["count_all"])
        for line in counted
        if line["split"] is not None and line["split"] not in SPLITS
    )
    if not unknown:
        return
    listed = "; ".join(
        f"{source}: {split!r} ({count})" for source, split, count in unknown[:MAX_LISTED]
    )
    more = f" and {len(unknown) - MAX_LISTED} more" if len(unknown) > MAX_LISTED else ""
    raise InputError(
        f"splits that are none of {', '.join(SPLITS)} (rows): {listed}{more}; say what each is"
        f" under ingest.splits, for example {{{unknown[0][1]}: train}}, or map columns.split",
        code="split_unknown",
        splits={f"{source}: {split}": count for source, split, count in unknown},
    )
