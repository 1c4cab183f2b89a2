"""Hash, decode and encode each distinct picture once, and set the image ids of samples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

import pyarrow as pa
import pyarrow.compute as pc

from curation.encoders.encoder import EncoderConfig
from curation.image_pass import ImagePass
from curation.joins import files_sql, joining, read_tables_of
from curation.privacy.settings import PrivacyConfig
from curation.recipe import Recipe
from curation.stage_outputs import Upstream
from curation.stages.image_files import (
    FILES,
    HASHED,
    SEEN,
    HashFiles,
    check_unreadable,
    hashed_before_sql,
    misplaced,
)
from curation.stages.image_references import References, look_at_references
from curation.stages.image_tables import masked_images, picture_findings, write_images
from curation.stages.image_verdicts import (
    FACTS,
    MASKED_REF,
    NO_FACTS,
    RESOLVED,
    ResolveSamples,
    write_lookups,
)
from curation.stages.stage import Stage, StageContext
from curation.stages.work_files import WorkFile, WorkFolder, rows_per_part
from medsift import records
from medsift.child_process import LOST
from medsift.execution import Resources, Tables
from medsift.images import ImagesConfig
from medsift.images.blob_store import BlobStore
from medsift.manifest.schema import arrow_schema
from medsift.storage.parts import parts, write_tables
from medsift.storage.table_cache import TableCache

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

REFS_PER_HASH_ITEM = 256
LARGEST_HASH_ITEM: Final = 4_096
"""References of one item: an interrupted worker hashes so many files again, for want of a cache."""
PICTURE_BYTES: Final = 8_192
"""About the bytes of a picture's facts, of which half are its miniature, and of its vector."""
PASS_VERSION = 4
MASK_VERSION = 1
"""Raised when pictures are masked otherwise for equal settings."""
HASH_DIGITS = 64
ENCODER_RESOURCES: Final = Resources(accelerated=True, lasting=True)
"""Resources of a worker that loads a model: a GPU where the machines have one."""
CONTENTS: Final = pa.schema([("content_id", pa.string()), ("ref", pa.string())])
"""A distinct content, and the smallest reference that has it."""


class InspectImages:
    """Compute facts and vectors of pictures on a worker; models load for the first uncached one.

    What is computed goes to the cache batch by batch, so that an interrupted worker repeats one.
    """

    def __init__(
        self,
        images: ImagesConfig,
        encoder: EncoderConfig,
        cache: Path,
        work: WorkFolder,
        batch: int,
        decode_seconds: float,
        privacy: PrivacyConfig,
        blobs: BlobStore,
    ) -> None:
        self.images, self.encoder, self.work, self.batch = images, encoder, work, batch
        self.decode_seconds, self.privacy, self.blobs = decode_seconds, privacy, blobs
        decoding = images.model_dump(mode="json", exclude={"drop_blank", "blank_share"})
        rules = [PASS_VERSION, decoding, encoder.fingerprint(), *picture_rules(privacy).values()]
        pass_fingerprint = records.fingerprint(rules)
        self.cache = TableCache(cache / "images", pass_fingerprint, key="content_id")
        self.spent: dict[str, float] = {}

    @cached_property
    def image_pass(self) -> ImagePass:
        """The pass that decodes and encodes pictures. Raises ModelError."""
        return ImagePass(
            *(self.images, self.encoder),
            seconds=self.decode_seconds,
            privacy=self.privacy,
            blobs=self.blobs,
        )

    def __call__(self, item: WorkFile) -> Iterator[Tables]:
        """Yield `inspected` of a file of ``CONTENTS``, in the order of content ids."""
        self.spent = {}
        files = self.work.read(item)
        known = self._stored(self.cache.lookup(files["content_id"].to_pylist()))
        new = files.filter(pc.invert(pc.is_in(files["content_id"], known["content_id"])))
        tables = [known] if known.num_rows else []
        for start in range(0, new.num_rows, self.batch):
            seen = self._inspect(new.slice(start, self.batch))
            lost = pc.is_in(seen["error"], pa.array(LOST))
            self.cache.append(seen.filter(pc.invert(lost)))
            tables.append(seen)
        table = pa.concat_tables(tables, promote_options="default").sort_by("content_id")
        # The cache is by content: another run may have seen the same content at another path.
        refs = files.sort_by("content_id")["ref"]
        if "original_id" in table.column_names:
            masked = pc.is_valid(table["original_id"])
            own = [self.blobs.location(byte_hash) for byte_hash in table["byte_hash"].to_pylist()]
            refs = pc.if_else(masked, pa.array(own, pa.string()), refs)
        yield {"inspected": table.set_column(table.column_names.index("ref"), "ref", refs)}

    def _stored(self, known: pa.Table) -> pa.Table:
        """Return the cached rows without those of masked pictures that this run does not have."""
        if "original_id" not in known.column_names:
            return known
        pairs = zip(known["original_id"].to_pylist(), known["byte_hash"].to_pylist(), strict=True)
        there = [original is None or self.blobs.has(masked) for original, masked in pairs]
        return known.filter(pa.array(there, pa.bool_()))

    def _inspect(self, files: pa.Table) -> pa.Table:
        seen = self.image_pass(files.select(["ref"]))
        for what, seconds in self.image_pass.spent.items():
            self.spent[what] = self.spent.get(what, 0.0) + seconds
        hashes = "source_hash" if "source_hash" in seen.column_names else "byte_hash"
        found = pc.coalesce(seen[hashes], seen["byte_hash"]).to_pylist()
        for file, byte_hash in zip(files.to_pylist(), found, strict=True):
            if file["content_id"][:HASH_DIGITS] != byte_hash:
                raise misplaced(file["ref"], "changed or is gone since it was hashed")
        return seen.add_column(0, "content_id", files["content_id"].combine_chunks())


def picture_rules(privacy: PrivacyConfig) -> dict[str, Any]:
    """Return what decides what becomes of pictures; nothing where they stay as they are."""
    if privacy.pictures == "off":
        return {}
    rules = privacy.model_dump(mode="json", exclude={"text", "key_variable"})
    return {"privacy": rules | {"version": MASK_VERSION}}


class ImagesStage(Stage):
    """Look at every distinct picture once."""

    name: ClassVar[str] = "images"
    version: ClassVar[int] = 4
    outputs: ClassVar[Mapping[str, pa.Schema]] = {
        "images": records.IMAGES,
        "vectors": records.VECTORS,
        "updates": RESOLVED,
        "seen": SEEN,
        "privacy_findings": arrow_schema("privacy_findings"),
        "masked_images": arrow_schema("masked_images"),
    }

    def __init__(self) -> None:
        # The files of all references as `settings` saw them.
        self._looked: References | None = None

    def settings(self, recipe: Recipe, upstream: Upstream) -> Any:
        """Return image rules, the encoder, and size and time of change of every referenced file."""
        self._looked = look_at_references(upstream)
        return {
            "images": recipe.images.model_dump(mode="json"),
            "encoder": recipe.encoder.fingerprint(),
            "files": self._looked.fingerprint,
            **picture_rules(recipe.privacy),
        }

    def run(self, context: StageContext) -> None:
        """Write `images`, `vectors`, `decisions`, and `updates` with the image ids of samples."""
        seen = self._seen(context.upstream)
        with joining(context.scratch) as db:
            db.execute(f"CREATE VIEW seen AS SELECT * FROM {seen.sql()}")
            self._hash(context, db)
            inspected = self._inspect(context, db)
            with context.timed("resolve", context.upstream.ingest.samples.count()):
                self._resolve(context, db, inspected)
                if inspected:
                    outputs = context.outputs
                    write_images(db, inspected, outputs.images.folder, outputs.vectors.folder)
                if inspected and context.recipe.privacy.pictures != "off":
                    outputs.privacy_findings.write(picture_findings(db, inspected))
                    outputs.masked_images.write(masked_images(db, inspected))
        # Behind the streams, which may clear the folder of parts that belong to other batches.
        for number, table in enumerate(seen.tables()):
            context.outputs.seen.write(table, number)
        seen.remove()

    def _seen(self, upstream: Upstream) -> References:
        """Return every reference with its file, as `settings` saw it: one look in a run."""
        looked, self._looked = self._looked, None
        if looked is None or looked.ingest != upstream.ingest.folder:
            return look_at_references(upstream)
        return looked

    def _hash(self, context: StageContext, db: DuckDBPyConnection) -> None:
        """Hash the files that no earlier run hashed, and make the table `files` of all."""
        most, out = context.recipe.images.max_bytes, context.folder / "hash"
        known = hashed_before_sql(context.earlier(), "seen", most)
        db.execute(f"CREATE TABLE known AS {known}")
        [(count,)] = db.execute("SELECT count(*) FROM seen ANTI JOIN known USING (ref)").fetchall()
        size = min(rows_per_part(count, REFS_PER_HASH_ITEM, 1), LARGEST_HASH_ITEM)
        work = WorkFolder(out / "work" / "seen")
        query = "SELECT * FROM seen ANTI JOIN known USING (ref) ORDER BY ref"
        items = work.write(read_tables_of(db, query, size), SEEN)
        with context.timed("hash", count):
            context.executor.stream(items, lambda: HashFiles(most, work), out, _ignore)
        work.remove(items)
        hashed = parts(out / "files")
        new = f" UNION ALL BY NAME SELECT * FROM {files_sql(hashed)}" if hashed else ""
        # One file whatever was known, so that the next run finds every reference in it.
        query = f"SELECT * FROM (SELECT * FROM known{new}) ORDER BY ref"
        write_tables(read_tables_of(db, query, 1 << 16), FILES, out / HASHED)
        db.execute(f"CREATE VIEW files AS SELECT * FROM {files_sql([out / HASHED])}")
        unreadable = db.sql("SELECT * FROM files WHERE error = 'image_unreadable'")
        check_unreadable(unreadable.to_arrow_table(), most)

    def _inspect(self, context: StageContext, db: DuckDBPyConnection) -> list[Path]:
        """Look at every distinct content; return the parts with what was seen."""
        recipe, out = context.recipe, context.folder / "pass"
        [(count,)] = db.execute("SELECT count(DISTINCT content_id) FROM files").fetchall()
        batch = recipe.compute.images_per_batch
        query = (
            "SELECT content_id, min(ref) AS ref FROM files WHERE content_id IS NOT NULL "
            "GROUP BY content_id ORDER BY content_id"
        )
        size = rows_per_part(count, batch, PICTURE_BYTES)
        work = WorkFolder(out / "work" / "contents")
        items = work.write(read_tables_of(db, query, size), CONTENTS)
        images, encoder, cache = recipe.images, recipe.encoder, recipe.cache_dir.absolute()
        limit, privacy = recipe.compute.decode_seconds, recipe.privacy
        blobs = BlobStore((context.run_dir / "blobs").absolute())
        make = partial(InspectImages, images, encoder, cache, work, batch, limit, privacy, blobs)
        context.begin(count, "images")
        with context.timed("decode and encode", count):
            context.executor.stream(
                items,
                make,
                out,
                context.advance,
                ENCODER_RESOURCES,
            )
        work.remove(items)
        make().cache.merge()
        context.add_device_time(out, count)
        return parts(out / "inspected")

    def _resolve(
        self, context: StageContext, db: DuckDBPyConnection, inspected: list[Path]
    ) -> None:
        """Write `updates` and `decisions` of the samples, by the verdicts on their pictures."""
        samples = context.upstream.ingest.samples.parts()
        if not samples:
            return
        facts = ", ".join(f'"{name}"' for name in FACTS if name != MASKED_REF)
        original = " original_id" if context.recipe.privacy.pictures != "off" else " NULL"
        db.execute(
            f"CREATE VIEW facts AS SELECT {facts}, "
            f"CASE WHEN{original} IS NULL THEN NULL ELSE ref END AS {MASKED_REF} "
            f"FROM {files_sql(inspected)}"
            if inspected
            else f"CREATE VIEW facts AS {NO_FACTS}"
        )
        config, folder = context.recipe.images, context.folder / "resolve" / "verdicts"
        lookups = write_lookups(db, samples, config, context.scratch / "joined", folder)
        items = list(zip(samples, lookups, strict=True))
        context.executor.stream(items, ResolveSamples, context.folder, _ignore)


def _ignore(rows: int) -> None:
    """Report nothing: the small steps are not shown to people."""
