"""Stage 2: each distinct picture is hashed, decoded and encoded once; samples learn their ids."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from curation import records
from curation.cache import TableCache
from curation.encoders.base import EncoderConfig
from curation.errors import StorageError
from curation.execution import Resources, Tables, Worker
from curation.images import ImagePass, ImagesConfig, is_blank
from curation.recipe import Recipe
from curation.sources.references import read_bytes, stat
from curation.sources.storage import is_remote
from curation.stages.base import StageContext
from curation.storage import count_rows, parts, read_folder, read_tables, write_table

REFS_PER_HASH_ITEM = 256
PASS_VERSION = 2
HASH_DIGITS = 64

FILES = pa.schema(
    [
        pa.field("ref", pa.string(), nullable=False),
        pa.field("byte_hash", pa.string()),
        pa.field("content_id", pa.string()),
        pa.field("error", pa.string()),
        pa.field("detail", pa.string()),
    ]
)


def inspected_schema(dimension: int) -> pa.Schema:
    """Facts of a picture, its vector, and the id under which both are cached."""
    return pa.schema(
        [
            pa.field("content_id", pa.string(), nullable=False),
            *records.IMAGES,
            pa.field("vector", pa.list_(pa.float32(), dimension)),
        ]
    )


def hash_refs(refs: Sequence[str]) -> Iterator[Tables]:
    """Worker: byte hashes of referenced files, as a `files` table."""
    yield {"files": pa.Table.from_pylist([_hash(ref) for ref in refs], schema=FILES)}


def _hash(ref: str) -> dict[str, Any]:
    line: dict[str, Any] = {"ref": ref}
    try:
        data = read_bytes(ref)
    except FileNotFoundError:
        return line | {"error": "image_missing", "detail": f"no file at {ref}"}
    except StorageError as error:
        if is_remote(ref):
            # A store that stumbles is not a fact about the picture: the next run asks again.
            raise
        return line | {"error": "image_unreadable", "detail": str(error)}
    # The suffix is part of the identity because a note says when it belies the content.
    byte_hash = hashlib.sha256(data).hexdigest()
    return line | {"byte_hash": byte_hash, "content_id": byte_hash + PurePosixPath(ref).suffix}


class InspectImages:
    """Worker: facts and vectors of a batch of pictures, from the cache where it has them.

    Models are loaded for the first picture that the cache does not have.
    """

    def __init__(self, images: ImagesConfig, encoder: EncoderConfig, cache: Path) -> None:
        self.images, self.encoder = images, encoder
        decoding = images.model_dump(mode="json", exclude={"drop_blank", "blank_share"})
        pass_fingerprint = records.fingerprint([PASS_VERSION, decoding, encoder.fingerprint()])
        self.cache = TableCache(cache / "images", pass_fingerprint, key="content_id")

    @cached_property
    def image_pass(self) -> ImagePass:
        """What looks at pictures. Raises ModelError."""
        return ImagePass(self.images, self.encoder)

    def __call__(self, files: pa.Table) -> Iterator[Tables]:
        """Yield `inspected` for a table of (content_id, ref), in the order of content ids."""
        known = self.cache.lookup(files["content_id"].to_pylist())
        new = files.filter(pc.invert(pc.is_in(files["content_id"], known["content_id"])))
        found = [known] if known.num_rows else []
        if new.num_rows:
            seen = self._look(new)
            self.cache.append(seen)
            found.append(seen)
        table = pa.concat_tables(found, promote_options="default").sort_by("content_id")
        # The cache knows contents, not places: another run may have seen them elsewhere.
        place = table.column_names.index("ref")
        yield {"inspected": table.set_column(place, "ref", files.sort_by("content_id")["ref"])}

    def _look(self, files: pa.Table) -> pa.Table:
        """Decode and encode; raises StorageError for a file that changed since it was hashed."""
        seen = self.image_pass(files.select(["ref"]))
        ids = files["content_id"].to_pylist()
        for content, byte_hash, ref in zip(
            ids, seen["byte_hash"].to_pylist(), files["ref"].to_pylist(), strict=True
        ):
            if content[:HASH_DIGITS] != byte_hash:
                raise StorageError(
                    f"{ref} changed or vanished while the run looked at it; leave the images "
                    "alone and run the same command again"
                )
        return seen.add_column(0, "content_id", pa.array(ids, pa.string()))


@dataclass(frozen=True, slots=True)
class Picture:
    """What a reference turned out to be: an image id, or why there is none."""

    image_id: str | None
    action: str | None = None
    reason: str | None = None
    detail: str | None = None
    value: float | None = None
    threshold: float | None = None
    notes: tuple[str, ...] = ()


class ResolveSamples:
    """Worker: puts image ids into the samples of one part, or says which picture failed them."""

    def __init__(self, pictures: Mapping[str, Picture]) -> None:
        self.pictures = pictures

    def __call__(self, part: Path) -> Iterator[Tables]:
        """Yield `samples` (with ids) and `decisions`."""
        import pyarrow.parquet as pq

        kept, entries = [], []
        for sample in pq.read_table(part, schema=records.SAMPLES).to_pylist():
            entry = self._resolve(sample)
            if entry is None:
                kept.append(sample)
            else:
                entries.append(entry)
        yield {
            "samples": pa.Table.from_pylist(kept, schema=records.SAMPLES),
            "decisions": records.decisions(entries),
        }

    def _resolve(self, sample: dict[str, Any]) -> dict[str, Any] | None:
        """Fill in the sample's ids, or return the ledger entry that ends it."""
        pictures = [self.pictures[ref] for ref in sample["refs"] or []]
        for picture in pictures:
            if picture.action is not None and picture.reason is not None:
                return records.decision(
                    sample["row_id"],
                    "images",
                    picture.action,
                    picture.reason,
                    value=picture.value,
                    threshold=picture.threshold,
                    detail=picture.detail,
                )
        sample["images"] = [picture.image_id for picture in pictures]
        sample["sample_id"] = records.sample_id(sample["images"], sample["messages"])
        notes = [f"image: {note}" for picture in pictures for note in picture.notes]
        sample["notes"] = [*(sample["notes"] or []), *notes]
        return None


class ImagesStage:
    """Looks at every distinct picture once."""

    name: ClassVar[str] = "images"
    version: ClassVar[int] = 2

    def settings(self, recipe: Recipe, upstream: Mapping[str, Path]) -> Any:
        """Image rules, the encoder, and size and time of change of every referenced file."""
        refs = distinct_refs(upstream["ingest"])
        return {
            "images": recipe.images.model_dump(mode="json"),
            "encoder": recipe.encoder.fingerprint(),
            "files": records.fingerprint(sorted(stat(refs))),
        }

    def run(self, context: StageContext) -> None:
        """Write `images`, `vectors`, `samples` and `decisions`."""
        refs = distinct_refs(context.upstream["ingest"])
        files = self._hash(context, refs)
        distinct = _distinct_contents(files)
        context.begin(distinct.num_rows, "images")
        self._inspect(context, distinct)
        with context.timed("resolve", count_rows(context.upstream["ingest"] / "samples")):
            self._publish(context, files)

    def _hash(self, context: StageContext, refs: Sequence[str]) -> pa.Table:
        items = [
            refs[start : start + REFS_PER_HASH_ITEM]
            for start in range(0, len(refs), REFS_PER_HASH_ITEM)
        ]
        out = context.folder / "hash"
        with context.timed("hash", len(refs)):
            context.executor.stream(items, _hash_worker, out, _ignore)
        return read_folder(out / "files", FILES)

    def _inspect(self, context: StageContext, distinct: pa.Table) -> None:
        recipe = context.recipe
        size = recipe.compute.images_per_batch
        items = [distinct.slice(start, size) for start in range(0, distinct.num_rows, size)]
        images, encoder, cache = recipe.images, recipe.encoder, recipe.cache_dir.absolute()
        make: Callable[[], Worker] = lambda: InspectImages(images, encoder, cache)  # noqa: E731
        with context.timed("decode and encode", distinct.num_rows):
            context.executor.stream(
                items, make, context.folder / "pass", context.advance, encoder_resources()
            )

    def _publish(self, context: StageContext, files: pa.Table) -> None:
        inspected = context.folder / "pass" / "inspected"
        facts = read_facts(inspected)
        pictures = _pictures(files, facts, context.recipe.images)
        context.executor.stream(
            parts(context.upstream["ingest"] / "samples"),
            lambda: ResolveSamples(pictures),
            context.folder,
            _ignore,
        )
        _write_images(facts, inspected, context.folder)


def encoder_resources() -> Resources:
    """A worker that loads a model: on a GPU where the machines that do the work have one."""
    return Resources(accelerated=True, lasting=True)


def distinct_refs(ingest: Path) -> list[str]:
    """Every image reference of the ingested samples, sorted."""
    refs: set[str] = set()
    for table in read_tables(ingest / "samples", records.SAMPLES, ["refs"]):
        refs.update(pc.unique(pc.list_flatten(table["refs"])).to_pylist())
    return sorted(refs)


def read_facts(inspected: Path) -> pa.Table:
    """Facts of the inspected pictures (IMAGES and `content_id`), without their vectors."""
    schema = pa.schema([pa.field("content_id", pa.string()), *records.IMAGES])
    return read_folder(inspected, schema)


def _distinct_contents(files: pa.Table) -> pa.Table:
    """One (content_id, ref) for every distinct content, sorted, with the smallest ref."""
    readable = files.filter(pc.is_valid(files["content_id"]))
    grouped = readable.group_by("content_id").aggregate([("ref", "min")])
    return (
        grouped.rename_columns({"ref_min": "ref"})
        .select(["content_id", "ref"])
        .sort_by("content_id")
    )


def _write_images(facts: pa.Table, inspected: Path, folder: Path) -> None:
    """Write `images` (one line an image id) and `vectors`; equal pixels share the first content."""
    seen = facts.filter(pc.is_valid(facts["image_id"])).sort_by("content_id")
    firsts = seen.group_by("image_id", use_threads=False).aggregate([("content_id", "min")])
    chosen = seen.filter(pc.is_in(seen["content_id"], firsts["content_id_min"])).sort_by("image_id")
    write_table(chosen.select(records.IMAGES.names), folder / "images" / "part-000000.parquet")
    for part in parts(inspected):
        _write_vectors(part, chosen["content_id"], folder / "vectors" / part.name)


def _write_vectors(part: Path, chosen: pa.ChunkedArray, target: Path) -> None:
    import pyarrow.parquet as pq

    table = pq.read_table(part, columns=["content_id", "image_id", "vector"])
    table = table.filter(pc.is_in(table["content_id"], chosen.combine_chunks()))
    vectors = table.select(["image_id", "vector"]).rename_columns(["content_id", "vector"])
    write_table(vectors, target)


def _pictures(files: pa.Table, facts: pa.Table, config: ImagesConfig) -> dict[str, Picture]:
    """What every reference turned out to be."""
    columns = ["content_id", "image_id", "blank_share", "notes", "error", "detail"]
    by_content = {line["content_id"]: line for line in facts.select(columns).to_pylist()}
    return {
        line["ref"]: _picture(line if line["error"] else by_content[line["content_id"]], config)
        for line in files.to_pylist()
    }


def _picture(line: Mapping[str, Any], config: ImagesConfig) -> Picture:
    if line["error"]:
        return Picture(None, records.FAILED, line["error"], line["detail"])
    if is_blank(line, config):
        share = float(line["blank_share"])
        return Picture(
            None, records.DROPPED, "image_blank", None, value=share, threshold=config.blank_share
        )
    return Picture(line["image_id"], notes=tuple(line["notes"] or ()))


def _hash_worker() -> Worker:
    return hash_refs


def _ignore(rows: int) -> None:
    """Rows of the small steps are not reported."""
