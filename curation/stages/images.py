"""Hash, decode and encode each distinct picture once, and set the image ids of samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Final

import pyarrow as pa
import pyarrow.compute as pc

from curation.encoders.encoder import EncoderConfig
from curation.image_pass import ImagePass
from curation.recipe import Recipe
from curation.stage_outputs import OutputTable, Upstream
from curation.stages.image_files import FILES, HashFiles, Seen, check_unreadable, misplaced
from curation.stages.image_verdicts import FACTS, RESOLVED, ResolveSamples, verdicts, write_lookups
from curation.stages.stage import Stage, StageContext
from medsift import records
from medsift.execution import Resources, Tables, Worker
from medsift.images import ImagesConfig
from medsift.images.references import stat
from medsift.reorder import taken_rows
from medsift.storage.parts import parts, read_folder, read_part, write_table
from medsift.storage.table_cache import TableCache

REFS_PER_HASH_ITEM = 256
PASS_VERSION = 3
HASH_DIGITS = 64
ENCODER_RESOURCES: Final = Resources(accelerated=True, lasting=True)
"""Resources of a worker that loads a model: a GPU where the machines have one."""


class InspectImages:
    """Compute facts and vectors of pictures on a worker; models load for the first uncached one."""

    def __init__(self, images: ImagesConfig, encoder: EncoderConfig, cache: Path) -> None:
        self.images, self.encoder = images, encoder
        decoding = images.model_dump(mode="json", exclude={"drop_blank", "blank_share"})
        pass_fingerprint = records.fingerprint([PASS_VERSION, decoding, encoder.fingerprint()])
        self.cache = TableCache(cache / "images", pass_fingerprint, key="content_id")

    @cached_property
    def image_pass(self) -> ImagePass:
        """The pass that decodes and encodes pictures. Raises ModelError."""
        return ImagePass(self.images, self.encoder)

    def __call__(self, files: pa.Table) -> Iterator[Tables]:
        """Yield `inspected` for a table of (content_id, ref), in the order of content ids."""
        known = self.cache.lookup(files["content_id"].to_pylist())
        new = files.filter(pc.invert(pc.is_in(files["content_id"], known["content_id"])))
        tables = [known] if known.num_rows else []
        if new.num_rows:
            seen = self.image_pass(new.select(["ref"]))
            for file, byte_hash in zip(new.to_pylist(), seen["byte_hash"].to_pylist(), strict=True):
                if file["content_id"][:HASH_DIGITS] != byte_hash:
                    raise misplaced(file["ref"], "changed or is gone since it was hashed")
            seen = seen.add_column(0, "content_id", new["content_id"].combine_chunks())
            self.cache.append(seen)
            tables.append(seen)
        table = pa.concat_tables(tables, promote_options="default").sort_by("content_id")
        # The cache is by content: another run may have seen the same content at another path.
        column = table.column_names.index("ref")
        yield {"inspected": table.set_column(column, "ref", files.sort_by("content_id")["ref"])}


class ImagesStage(Stage):
    """Look at every distinct picture once."""

    name: ClassVar[str] = "images"
    version: ClassVar[int] = 3
    outputs: ClassVar[Mapping[str, pa.Schema]] = {
        "images": records.IMAGES,
        "vectors": records.VECTORS,
        "updates": RESOLVED,
    }

    def __init__(self) -> None:
        # The ingest folder, and the files of its references as `settings` saw them.
        self._looked: tuple[Path, list[tuple[str, int, float]]] | None = None

    def settings(self, recipe: Recipe, upstream: Upstream) -> Any:
        """Return image rules, the encoder, and size and time of change of every referenced file."""
        files = stat(distinct_refs(upstream))
        self._looked = upstream.ingest.folder, files
        return {
            "images": recipe.images.model_dump(mode="json"),
            "encoder": recipe.encoder.fingerprint(),
            "files": records.fingerprint(sorted(files)),
        }

    def run(self, context: StageContext) -> None:
        """Write `images`, `vectors`, `decisions`, and `updates` with the image ids of samples."""
        files = self._hash(context, self._seen(context.upstream))
        # One (content_id, ref) for every distinct content, sorted, with the smallest ref.
        readable = files.filter(pc.is_valid(files["content_id"]))
        grouped = readable.group_by("content_id").aggregate([("ref", "min")])
        distinct = grouped.rename_columns({"ref_min": "ref"})
        distinct = distinct.select(["content_id", "ref"]).sort_by("content_id")
        context.begin(distinct.num_rows, "images")
        self._inspect(context, distinct)
        with context.timed("resolve", context.upstream.ingest.samples.count()):
            self._publish(context, files)

    def _seen(self, upstream: Upstream) -> list[Seen]:
        """Return every reference with its size, as `settings` saw it: one look in a run."""
        looked, self._looked = self._looked, None
        if looked is None or looked[0] != upstream.ingest.folder:
            looked = upstream.ingest.folder, stat(distinct_refs(upstream))
        return [(ref, size) for ref, size, _ in looked[1]]

    def _hash(self, context: StageContext, seen: Sequence[Seen]) -> pa.Table:
        most = context.recipe.images.max_bytes
        items = [
            seen[start : start + REFS_PER_HASH_ITEM]
            for start in range(0, len(seen), REFS_PER_HASH_ITEM)
        ]
        out = context.folder / "hash"
        with context.timed("hash", len(seen)):
            context.executor.stream(items, lambda: HashFiles(most), out, _ignore)
        files = read_folder(out / "files", FILES)
        check_unreadable(files, most)
        return files

    def _inspect(self, context: StageContext, distinct: pa.Table) -> None:
        recipe = context.recipe
        size = recipe.compute.images_per_batch
        items = [distinct.slice(start, size) for start in range(0, distinct.num_rows, size)]
        images, encoder, cache = recipe.images, recipe.encoder, recipe.cache_dir.absolute()
        make: Callable[[], Worker] = lambda: InspectImages(images, encoder, cache)  # noqa: E731
        with context.timed("decode and encode", distinct.num_rows):
            context.executor.stream(
                items, make, context.folder / "pass", context.advance, ENCODER_RESOURCES
            )

    def _publish(self, context: StageContext, files: pa.Table) -> None:
        inspected = context.folder / "pass" / "inspected"
        judged = verdicts(files, read_facts(inspected, FACTS), context.recipe.images)
        samples = context.upstream.ingest.samples.parts()
        lookups = write_lookups(judged, samples, context.folder / "resolve" / "verdicts")
        items = list(zip(samples, lookups, strict=True))
        context.executor.stream(items, ResolveSamples, context.folder, _ignore)
        chosen = _write_images(inspected, context.outputs.images)
        for part in parts(inspected):
            table = read_part(part, ["content_id", "image_id", "vector"])
            table = table.filter(pc.is_in(table["content_id"], chosen))
            vectors = table.select(["image_id", "vector"]).rename_columns(["content_id", "vector"])
            write_table(vectors, context.outputs.vectors.folder / part.name)


def distinct_refs(upstream: Upstream) -> list[str]:
    """Return every image reference of the ingested samples, sorted."""
    refs: set[str] = set()
    for table in upstream.ingest.samples.read_parts(["refs"]):
        refs.update(pc.unique(pc.list_flatten(table["refs"])).to_pylist())
    return sorted(refs)


def read_facts(inspected: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Read the facts of the inspected pictures (IMAGES and `content_id`), without their vectors."""
    schema = pa.schema([pa.field("content_id", pa.string()), *records.IMAGES])
    return read_folder(inspected, schema, columns)


def _write_images(inspected: Path, images: OutputTable) -> pa.Array:
    """Write `images`, one row per image id, and return the content ids that were chosen.

    Files of equal pixels have one image id; the first content represents them.
    """
    facts = read_facts(inspected)
    ids = facts.select(["content_id", "image_id"])
    ids = ids.append_column("place", pa.array(range(ids.num_rows), pa.int64()))
    seen = ids.filter(pc.is_valid(ids["image_id"])).sort_by(
        [("image_id", "ascending"), ("content_id", "ascending")]
    )
    firsts = seen.group_by("image_id", use_threads=False).aggregate([("place", "first")])
    places = firsts.sort_by("image_id")["place_first"].combine_chunks()
    chosen = taken_rows(facts, places)
    images.write(chosen.select(records.IMAGES.names))
    return chosen["content_id"].combine_chunks()


def _ignore(rows: int) -> None:
    """Report nothing: the small steps are not shown to people."""
