"""Pictures of a benchmark that show the same: equal pixels in other files, altered copies."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath

import numpy as np

from curation.matching.image_copies import HASH_BITS, ImageSet, find_copies
from curation.matching.settings import ImageCopyConfig
from curation.neighbors import NeighborsConfig
from medsift.errors import StorageError
from medsift.images import ImageError, ImagesConfig, decode
from medsift.images.facts import miniature, perceptual_hash
from medsift.images.references import read_bytes
from medsift.records import THUMB_SIDE

Seen = tuple[str, str, bytes]


def find_same(refs: Iterable[str]) -> dict[str, str]:
    """Reference → the name that it shares with its copies, by the rule of deduplication.

    Every picture is read and decoded once. One that cannot be is left out: it is nobody's copy,
    and whoever shows it says why it cannot be shown.
    """
    seen: dict[str, str] = {}
    facts: dict[str, tuple[str, bytes]] = {}
    for ref in sorted(set(refs)):
        found = _look(ref)
        if found is not None:
            seen[ref] = found[0]
            facts[found[0]] = found[1:]
    if not facts:
        return {}
    ids = sorted(facts)
    group = find_copies(_image_set(ids, facts), ImageCopyConfig(), NeighborsConfig()).group
    first = {image: ids[int(at)] for image, at in zip(ids, group, strict=True)}
    return {ref: first[image] for ref, image in seen.items()}


def _look(ref: str) -> Seen | None:
    try:
        decoded = decode(read_bytes(ref), PurePosixPath(ref).name, ImagesConfig(min_side=1))
    except (FileNotFoundError, StorageError, ImageError):
        return None
    grey = decoded.image.convert("L")
    return decoded.image_id, perceptual_hash(grey), miniature(grey)


def _image_set(ids: list[str], facts: dict[str, tuple[str, bytes]]) -> ImageSet:
    """The pictures without vectors: hashes alone find the candidates."""
    hashes = np.array([int(facts[image][0], 16) for image in ids], dtype=">u8")
    bits = np.unpackbits(hashes.view(np.uint8).reshape(-1, 8), axis=1).astype(np.float32)
    thumbs = np.frombuffer(bytearray().join(facts[image][1] for image in ids), np.uint8)
    return ImageSet(
        ids=ids,
        bits=(2.0 * bits - 1.0) / np.float32(np.sqrt(HASH_BITS)),
        thumbs=thumbs.reshape(-1, THUMB_SIDE, THUMB_SIDE),
        vectors=np.zeros((len(ids), 1), np.float32),
    )
