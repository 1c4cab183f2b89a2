"""Find pictures of a benchmark that show the same: equal pixels in other files, altered copies."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath

import numpy as np

from curation.matching.image_copies import ImageSet, find_copies
from curation.matching.settings import ImageCopyConfig
from curation.neighbors import NeighborsConfig
from medsift.errors import StorageError
from medsift.images import ImageError, ImagesConfig, decode
from medsift.images.facts import miniature, perceptual_hash
from medsift.images.references import read_bytes


def find_same(refs: Iterable[str]) -> dict[str, str]:
    """Map each reference to the name that it shares with its copies, by the rule of deduplication.

    Every picture is read and decoded once. One that cannot be is left out: whoever shows it says
    why it cannot be shown.
    """
    image_of: dict[str, str] = {}
    facts: dict[str, tuple[str, bytes]] = {}
    for ref in sorted(set(refs)):
        try:
            decoded = decode(read_bytes(ref), PurePosixPath(ref).name, ImagesConfig(min_side=1))
        except (FileNotFoundError, StorageError, ImageError):
            continue
        grey = decoded.image.convert("L")
        image_of[ref] = decoded.image_id
        facts[decoded.image_id] = perceptual_hash(grey), miniature(grey)
    if not facts:
        return {}
    ids = sorted(facts)
    hashes, miniatures = zip(*(facts[image] for image in ids), strict=True)
    # Vectors of zero match nothing: hashes alone find the candidates, and no encoder is needed.
    images = ImageSet.of(ids, hashes, miniatures, np.zeros((len(ids), 1), np.float32))
    group = find_copies(images, ImageCopyConfig(), NeighborsConfig()).group
    first = {image: ids[int(at)] for image, at in zip(ids, group, strict=True)}
    return {ref: first[image] for ref, image in image_of.items()}
