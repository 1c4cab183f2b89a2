"""Keep the pictures of a run in files that are mapped into memory: miniatures, hashes, vectors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from curation.matching.image_copies import ImageSet
from medsift.records import THUMB_SIDE
from medsift.storage.atomic import atomic_folder
from medsift.storage.mapped_vectors import MappedVectors, keys_of
from medsift.storage.parts import read_batches
from medsift.storage.reserve import create_mapped_array

SIZE = THUMB_SIDE * THUMB_SIDE


def map_images(source: Path, vectors: MappedVectors, folder: Path) -> ImageSet:
    """Open the pictures of a folder of ``IMAGES`` parts, as they are kept in `folder`.

    The files are written where they are missing. Every picture is listed once in the parts, and
    has a vector.

    Raises:
        UsageError: a picture has no vector.
        StorageError: the disk refuses, or a part is damaged.
    """
    ids = _ids(source)
    place = vectors.find(ids, "images")
    if not folder.exists():
        _write(source, ids, folder)
    codes, thumbs = (np.load(folder / f"{name}.npy", mmap_mode="c") for name in ("codes", "thumbs"))
    in_order = len(place) == len(vectors.matrix) and bool((np.diff(place) == 1).all())
    matrix = vectors.matrix if in_order else vectors.matrix[place]
    return ImageSet(ids.to_pylist(), np.asarray(codes), thumbs, matrix)


def _ids(source: Path) -> pa.Array:
    columns = [table["image_id"].combine_chunks() for table in read_batches(source, ["image_id"])]
    ids = pa.concat_arrays(columns) if columns else pa.array([], pa.string())
    return ids.take(pa.compute.sort_indices(ids))


def _write(source: Path, ids: pa.Array, folder: Path) -> None:
    keys, blank = keys_of(ids), bytes(SIZE)
    rank = np.argsort(keys, kind="stable")
    with atomic_folder(folder) as partial:
        codes = np.zeros(len(ids), np.uint64)
        shape = (len(ids), THUMB_SIDE, THUMB_SIDE)
        thumbs = create_mapped_array(partial / "thumbs.npy", "u1", shape)
        for table in read_batches(source, ["image_id", "phash", "thumb"], rows=4096):
            wanted = keys_of(table["image_id"].combine_chunks())
            place = rank[np.searchsorted(keys, wanted, sorter=rank)]
            codes[place] = [int(text, 16) for text in table["phash"].to_pylist()]
            joined = b"".join(thumb or blank for thumb in table["thumb"].to_pylist())
            thumbs[place] = np.frombuffer(joined, np.uint8).reshape(-1, THUMB_SIDE, THUMB_SIDE)
        thumbs.flush()
        np.save(partial / "codes.npy", codes)
