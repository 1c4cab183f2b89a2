"""Turn every record of every source into a sample or a ledger entry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from curation.ingest import IngestConfig, ingest
from curation.privacy.pseudonyms import key_fingerprint, read_key
from curation.privacy.sample_texts import FINDINGS, screen
from curation.privacy.settings import PrivacyConfig
from curation.recipe import Recipe
from curation.retried import times_retried
from curation.sources.reader import Reader, Shard, Unread
from curation.sources.volume_files import volume_files
from curation.stage_outputs import Upstream
from curation.stages.ingest_shards import SHARDS, adopt_shards, shard_keys
from curation.stages.remarks import remark
from curation.stages.stage import Stage, StageContext
from curation.withdraw.purge import remove_pictures
from curation.withdraw.withdrawn import Withdrawn, read_withdrawn, withdrawn_fingerprint
from medsift import records
from medsift.errors import InputError
from medsift.execution import Tables
from medsift.images.blob_store import BlobStore
from medsift.vocabulary import SPLITS, split_of

ROW_FACTS = pa.schema(
    [records.ROWS.field(name) for name in ("row_id", "source", "file", "index", "notes")]
)
SKIPPED = pa.schema(
    [pa.field("source", pa.string(), nullable=False), pa.field("stored", pa.list_(pa.string()))]
)
"""One line for each withdrawn row that a source still has, with its pictures in the run."""
SPLIT_OF_SOURCE = ["source", "split"]
MAX_LISTED = 10
TEXT_VERSION = 1
"""Raised when the rules that recognise identifiers in texts change."""


@dataclass(frozen=True, slots=True)
class ReadShard:
    """Read one (reader, shard) on a worker, and sort its rows into samples and decisions."""

    config: IngestConfig
    blobs: BlobStore
    withdrawn: Withdrawn
    privacy: PrivacyConfig = field(default_factory=PrivacyConfig)
    key: bytes | None = field(default=None, repr=False)
    """The secret of pseudonyms, which nothing prints."""

    def __call__(self, item: tuple[Reader, Shard]) -> Iterator[Tables]:
        """Yield the tables `rows`, `samples`, `decisions` and `privacy_findings` by batches.

        Withdrawn rows are in none of them; `skipped` has their sources and stored pictures.
        """
        reader, shard = item
        for read in reader.read(shard, self.blobs):
            rows, found, dropped = screen(read, self.privacy, self.key)
            left = rows
            if dropped.num_rows:
                gone_rows = pc.is_in(rows["row_id"], dropped["row_id"].combine_chunks())
                left = rows.filter(pc.invert(gone_rows))
            result = ingest(left, self.config)
            tables = {
                "rows": _row_facts(rows, result.samples),
                "samples": result.samples,
                "decisions": pa.concat_tables([result.decisions, dropped]),
            }
            if rows["volumes"].null_count < rows.num_rows:
                tables["volumes"] = _volumes(rows, result.samples)
            if self.privacy.text != "off":
                tables["privacy_findings"] = found
            gone = self.withdrawn.among(result.samples, result.decisions) if self.withdrawn else []
            if gone:
                left_out = pa.array(gone, pa.string())
                yield {"skipped": self._skipped(rows.filter(pc.is_in(rows["row_id"], left_out)))}
                tables = {
                    name: table.filter(pc.invert(pc.is_in(table["row_id"], left_out)))
                    for name, table in tables.items()
                }
            yield tables

    def _skipped(self, rows: pa.Table) -> pa.Table:
        root = f"{self.blobs.root}/"
        stored = [
            [ref for ref in refs or () if ref is not None and ref.startswith(root)]
            for refs in rows["images"].to_pylist()
        ]
        return pa.table([rows["source"], pa.array(stored, pa.list_(pa.string()))], schema=SKIPPED)


def _volumes(rows: pa.Table, samples: pa.Table) -> pa.Table:
    """Return ``VOLUMES`` of the rows that became samples."""
    kept = rows.filter(pc.is_in(rows["row_id"], samples["row_id"].combine_chunks()))
    volumes = kept["volumes"].combine_chunks()
    lines = pa.Table.from_struct_array(pc.list_flatten(volumes))
    row = kept["row_id"].take(pc.list_parent_indices(volumes))
    return lines.add_column(0, "row_id", row).cast(records.VOLUMES)


def _privacy_rules(privacy: PrivacyConfig) -> dict[str, Any]:
    """Return what decides the texts of samples; nothing where the recipe leaves them alone."""
    if privacy.text == "off":
        return {}
    key = key_fingerprint(read_key(privacy.key_variable))
    rules = privacy.model_dump(mode="json", include={"text", "kinds"})
    return {"privacy": rules | {"version": TEXT_VERSION, "key": key}}


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
    version: ClassVar[int] = 6
    outputs: ClassVar[Mapping[str, pa.Schema]] = {
        "rows": ROW_FACTS,
        "samples": records.SAMPLES,
        "volumes": records.VOLUMES,
        "skipped": SKIPPED,
        "shards": SHARDS,
        "measures": records.MEASURES,
        "privacy_findings": FINDINGS,
    }

    def settings(self, recipe: Recipe, upstream: Upstream) -> Any:
        """Return the readers' fingerprints (settings and content of files) and the row rules.

        Where volumes are cut, also what lies where their pictures are: slices are stored here.
        """
        settings = {
            "sources": [source.fingerprint() for source in recipe.sources],
            "ingest": recipe.ingest.model_dump(mode="json"),
            **_privacy_rules(recipe.privacy),
        }
        volumes = [volume_files(source) for source in recipe.sources if source.volumes is not None]
        return settings | ({"volumes": volumes} if volumes else {})

    def run(self, context: StageContext) -> None:
        """Write `rows`, `samples`, `decisions` and `measures`, and warn of what was not read."""
        recipe = context.recipe
        items = [(source, shard) for source in recipe.sources for shard in source.shards()]
        blobs = BlobStore((context.run_dir / "blobs").absolute())
        withdrawn = read_withdrawn(context.run_dir)
        context.begin(None, "rows")
        privacy, key = recipe.privacy, read_key(recipe.privacy.key_variable)
        rules = [recipe.ingest.model_dump(mode="json"), withdrawn_fingerprint(context.run_dir)]
        rules += [_privacy_rules(privacy)] if privacy.text != "off" else []
        tries = times_retried(context.run_dir).get(self.name, 0)
        known = shard_keys(items, [self.version, tries, *rules])
        adopt_shards(context.earlier(), context.folder, items, known)
        with context.timed("read") as watch:
            context.executor.stream(
                items,
                lambda: ReadShard(recipe.ingest, blobs, withdrawn, privacy, key),
                context.folder,
                context.advance,
            )
            watch.rows = context.outputs.rows.count()
        context.outputs.shards.write(
            pa.table({"key": known, "ordinal": list(range(len(known)))}, schema=SHARDS)
        )
        skipped = pc.list_flatten(context.outputs.skipped.read()["stored"])
        remove_pictures(context.run_dir, pc.unique(skipped).to_pylist())
        unread = remark(recipe.sources, context.outputs)
        if recipe.splits.assign is None:  # new splits take no notice of the sources'
            samples = context.outputs.samples.read(SPLIT_OF_SOURCE)
            check_splits(samples)
            check_columns_of_splits(samples, unread)


def check_columns_of_splits(samples: pa.Table, unread: Mapping[str, Sequence[Unread]]) -> None:
    """Raise InputError when samples have no split and an unread column seems to name test rows.

    They would be trained on without any sign of it.
    """
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
