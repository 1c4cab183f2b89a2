"""Index a benchmark: enough to recognise its items, without its pictures and texts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.decontaminate.passages import item_passages, turns_of
from medsift import records
from medsift.errors import InputError, StorageError, UsageError
from medsift.records import THUMB_SIDE
from medsift.reorder import sorted_rows, taken_rows
from medsift.storage.mirror import discard, exists, here, is_mirrored, read_current
from medsift.storage.parts import read_part, write_json, write_table
from medsift.storage.vectors import ContentVectors

INDEX_VERSION: Final = 3
ITEMS: Final = pa.schema(
    [
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("images", pa.list_(pa.string())),
    ]
)
PASSAGES: Final = pa.schema(
    [
        pa.field("item", pa.int64(), nullable=False),
        pa.field("question", pa.string()),
        pa.field("whole", pa.string(), nullable=False),
        pa.field("words", pa.int64(), nullable=False),
        pa.field("entire", pa.bool_(), nullable=False),
        pa.field("shingles", pa.list_(pa.uint64())),
        pa.field("grams", pa.list_(pa.uint64())),
    ]
)
IMAGES: Final = ("image_id", "byte_hash", "phash", "thumb", "vector")


@dataclass(frozen=True, slots=True)
class BenchmarkIndex:
    """A benchmark's items and pictures, as hashes, miniatures and vectors.

    `items` (m): ids and image ids. `passages`: of every exchange and every whole conversation, the
    place of its item, digests of its question and of all its words in normal form, hashed runs of
    words. `images`: image id, hashes, a 64 × 64 grey miniature (null where the
    index was made without), a vector of the encoder with fingerprint `encoder`.
    """

    name: str
    encoder: str
    items: pa.Table
    images: pa.Table
    passages: pa.Table

    @property
    def confirms(self) -> bool:
        """Return whether it has the miniatures by which pixels confirm a copy."""
        return bool(self.images["thumb"].null_count < self.images.num_rows)


def build_index(
    name: str,
    samples: pa.Table,
    images: pa.Table,
    vectors: ContentVectors,
    encoder: str,
    *,
    gram: int,
    thumbs: bool = True,
) -> BenchmarkIndex:
    """Index SAMPLES rows and the IMAGES facts and vectors of their pictures.

    Args:
        name: Of the benchmark.
        samples: Its items.
        images: Facts of the pictures that they show.
        vectors: Vectors of these pictures.
        encoder: Fingerprint of the encoder that made the vectors.
        gram: Words of a long run.
        thumbs: Whether to store miniatures. Without them copies that were changed in any way are
            listed as near and cannot be confirmed.

    Raises:
        InputError: no samples.
    """
    if not samples.num_rows:
        raise InputError(
            f"benchmark {name!r} has no sample to index; look at the run's funnel",
            code="benchmark_index_empty",
            benchmark=name,
        )
    items = samples.select(["row_id", "images"]).rename_columns(ITEMS.names)
    rows = samples.select(["messages", "question", "answer"]).to_pylist()
    passages = [
        {
            **passage._asdict(),
            "item": item,
            "shingles": sorted(passage.shingles),
            "grams": sorted(passage.grams),
        }
        for item, row in enumerate(rows)
        for passage in item_passages(turns_of(row), gram)
    ]
    return BenchmarkIndex(
        name,
        encoder,
        items.combine_chunks().cast(ITEMS),
        _images(samples, images, vectors, thumbs),
        pa.Table.from_pylist(passages, schema=PASSAGES),
    )


def _images(samples: pa.Table, images: pa.Table, vectors: ContentVectors, thumbs: bool) -> pa.Table:
    shown = sorted({image for listed in samples["images"].to_pylist() for image in listed or ()})
    facts = images.filter(pc.is_in(images["image_id"], pa.array(shown, pa.string())))
    facts = sorted_rows(facts, ["image_id", "byte_hash"])
    ids = np.array(facts["image_id"].to_pylist(), dtype=object).astype(str)
    facts = taken_rows(facts, np.unique(ids, return_index=True)[1])
    matrix = vectors.rows(facts["image_id"].to_pylist(), "images")
    flat = pa.array(np.ascontiguousarray(matrix).reshape(-1))
    # In pieces, as they are: miniatures of half a million pictures pass 2 GiB, one array's most.
    miniatures = facts["thumb"] if thumbs else pa.nulls(len(matrix), pa.binary())
    columns = [facts[name].combine_chunks() for name in IMAGES[:3]]
    vector = pa.FixedSizeListArray.from_arrays(flat, max(matrix.shape[1], 1))
    return pa.Table.from_arrays([*columns, miniatures, vector], names=list(IMAGES))


def write_index(index: BenchmarkIndex, folder: Path) -> None:
    """Write the index as three Parquet files and a note; the note comes last and completes it.

    Raises:
        UsageError: something else is there.
        StorageError: the disk refuses.
    """
    note, mirror = folder / "index.json", here(folder)
    if mirror.exists() and not exists(note) and not is_mirrored(folder) and any(mirror.iterdir()):
        raise UsageError(
            f"{folder} has other files in it; name a new folder for the index",
            code="index_folder_in_the_way",
            path=str(folder),
        )
    try:
        # An older index ends before its files are replaced.
        discard([note])
        for name in ("items", "passages", "images"):
            write_table(getattr(index, name), folder / f"{name}.parquet")
        content = {
            "version": INDEX_VERSION,
            "name": index.name,
            "encoder": index.encoder,
            "items": index.items.num_rows,
            "images": index.images.num_rows,
            "thumb_side": THUMB_SIDE if index.confirms else None,
        }
        write_json(content, note)
    except OSError as error:
        raise StorageError(
            f"cannot write {folder}: {error}; choose another folder", code="disk_refused"
        ) from error


def check_index(folder: Path, encoder: str) -> Mapping[str, Any]:
    """Return an index's note, once it is known to be comparable; its items are not read.

    Raises:
        InputError: there is no index, or it is of another version.
        UsageError: it was made with another encoder, so that its vectors cannot be compared.
    """
    try:
        note: Mapping[str, Any] = json.loads(read_current(folder / "index.json"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"there is no benchmark index at {folder}: {error}; make one with `medsift index`",
            code="benchmark_index_unreadable",
            path=str(folder),
        ) from error
    if note.get("version") != INDEX_VERSION:
        raise InputError(
            f"{folder} is an index of version {note.get('version')}, this MedSift reads "
            f"{INDEX_VERSION}: make it again with `medsift index`",
            code="benchmark_index_unreadable",
            path=str(folder),
            version=note.get("version"),
        )
    if note["encoder"] != encoder:
        raise UsageError(
            f"benchmark index {folder} was made with encoder {note['encoder'][:12]}, the recipe's "
            f"is {encoder[:12]}: make the index again with the recipe's encoder",
            code="benchmark_index_unfit",
            path=str(folder),
            encoder=note["encoder"],
        )
    return note


def read_index(folder: Path, encoder: str) -> BenchmarkIndex:
    """Read an index made with the encoder of fingerprint `encoder`.

    Raises:
        InputError: it is damaged.
        UsageError, InputError: as `check_index`.
    """
    note = check_index(folder, encoder)
    try:
        items = read_part(folder / "items.parquet").cast(ITEMS)
        passages = read_part(folder / "passages.parquet").cast(PASSAGES)
        images = read_part(folder / "images.parquet")
    except (StorageError, ValueError, pa.ArrowException) as error:
        raise InputError(
            f"benchmark index {folder} is damaged: {error}; make it again",
            code="benchmark_index_unreadable",
            path=str(folder),
        ) from error
    return BenchmarkIndex(note["name"], encoder, items, images, passages)


def fingerprint(index: BenchmarkIndex) -> str:
    """Return the digest of an index's items and pictures."""
    items = records.digest(*index.passages["whole"].to_pylist())
    return records.digest(index.encoder, items, *index.images["image_id"].to_pylist())
