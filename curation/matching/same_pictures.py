"""Find pictures of a benchmark that show the same: equal pixels in other files, altered copies."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from curation.matching.image_copies import ImageSet, find_copies
from curation.matching.settings import ImageCopyConfig
from curation.neighbors import NeighborsConfig
from medsift.errors import StorageError
from medsift.images import ImagesConfig
from medsift.images.decoder_process import DecoderProcess
from medsift.images.references import read_bytes
from medsift.images.settings import DECODE_SECONDS


def find_same(refs: Iterable[str]) -> dict[str, str]:
    """Map each reference to the name that it shares with its copies, by the rule of deduplication.

    Every picture is read and decoded once, in a process apart: nobody has checked it yet. One that
    cannot be is left out: whoever shows it says why it cannot be shown.
    """
    image_of: dict[str, str] = {}
    facts: dict[str, tuple[str, bytes]] = {}
    wanted = sorted(set(refs))
    if not wanted:
        return {}
    decoder = DecoderProcess(ImagesConfig(min_side=1), DECODE_SECONDS)
    for ref in wanted:
        try:
            row, _ = decoder.inspect(ref, read_bytes(ref))
        except (FileNotFoundError, StorageError):
            continue
        if row["error"] is None:
            image_of[ref] = row["image_id"]
            facts[row["image_id"]] = row["phash"], row["thumb"]
    if not facts:
        return {}
    ids = sorted(facts)
    hashes, miniatures = zip(*(facts[image] for image in ids), strict=True)
    # Vectors of zero match nothing: hashes alone find the candidates, and no encoder is needed.
    images = ImageSet.of(ids, hashes, miniatures, np.zeros((len(ids), 1), np.float32))
    group = find_copies(images, ImageCopyConfig(), NeighborsConfig()).group
    first = {image: ids[int(at)] for image, at in zip(ids, group, strict=True)}
    return {ref: first[image] for ref, image in image_of.items()}
