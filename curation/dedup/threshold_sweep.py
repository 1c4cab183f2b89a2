"""Count what each threshold on image cosine would drop, before anything is dropped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa

from curation.dedup.samples import Pictures
from curation.dedup.schemas import SWEEP
from curation.matching.image_copies import Copies, ImageSet
from curation.neighbors import NeighborsConfig, TileRunner, join
from medsift.arrays import Doubles, Flags, Floats, Indices
from medsift.records import digest

THRESHOLDS: Final = tuple(at / 100 for at in range(80, 100))
ALL: Final = "all"
UNKNOWN: Final = "unknown"


def sweep_images(
    images: ImageSet,
    copies: Copies,
    pictures: Pictures,
    modalities: Sequence[str | None],
    neighbors: NeighborsConfig,
    *,
    limit: int,
    seed: int,
    run: TileRunner | None = None,
) -> pa.Table:
    """Count, per modality and threshold, images with a near image before them (by image id).

    Counts such images, the samples that show one, and those images that pixels confirm as copies.
    `modalities` (n) belong to samples; an image takes the commonest of its samples, the first by
    name of equals. Of more than `limit` images only a drawn sample counts.
    """
    picked = np.sort(drawn(images.ids, limit, seed))
    nearest = np.full(len(images.ids), -np.inf)
    nearest[picked] = _nearest_earlier(images.vectors[picked], neighbors, run)
    confirmed = _has_earlier_copy(copies, picked)
    of_image = _modality_of_images(len(images.ids), pictures, modalities)
    lines: list[dict[str, Any]] = []
    for modality in (ALL, *sorted(set(of_image))):
        here = np.array([modality in (ALL, name) for name in of_image], dtype=bool)
        for threshold in THRESHOLDS:
            near = here & (nearest >= threshold)
            lines.append(
                {
                    "modality": modality,
                    "threshold": threshold,
                    "images": int(near.sum()),
                    "samples": _samples_on(near, pictures),
                    "confirmed": int((near & confirmed).sum()),
                }
            )
    return pa.Table.from_pylist(lines, schema=SWEEP)


def drawn(keys: Sequence[str], limit: int, seed: int) -> Indices:
    """Places of at most `limit` keys, drawn by seed and key: their order does not matter."""
    if len(keys) <= limit:
        return np.arange(len(keys), dtype=np.int64)
    lots = np.array([digest(str(seed), key) for key in keys])
    return np.sort(np.argsort(lots, kind="stable")[:limit]).astype(np.int64)


def _nearest_earlier(
    vectors: Floats, neighbors: NeighborsConfig, run: TileRunner | None
) -> Doubles:
    """Largest cosine (p,) of each of vectors (p, d) to one before it, -inf for the first."""
    if not len(vectors):
        return np.empty(0)
    order = np.arange(len(vectors), dtype=np.int64)
    runner = neighbors.runner(len(vectors), run)
    found = join(vectors, order=order, device=neighbors.device, run=runner).max_earlier
    return np.full(len(vectors), -np.inf) if found is None else found


def _has_earlier_copy(copies: Copies, picked: Indices) -> Flags:
    inside = np.zeros(len(copies.group), bool)
    inside[picked] = True
    found = np.zeros(len(copies.group), bool)
    found[copies.pairs.right[inside[copies.pairs.left] & inside[copies.pairs.right]]] = True
    return found


def _modality_of_images(n: int, pictures: Pictures, modalities: Sequence[str | None]) -> list[str]:
    counts: list[Counter[str]] = [Counter() for _ in range(n)]
    sample = np.repeat(np.arange(len(modalities)), pictures.count)
    for image, row in zip(pictures.image.tolist(), sample.tolist(), strict=True):
        counts[image][modalities[row] or UNKNOWN] += 1
    return [min(found, key=lambda name: (-found[name], name), default=UNKNOWN) for found in counts]


def _samples_on(near: Flags, pictures: Pictures) -> int:
    """Samples that show at least one of the images."""
    sample = np.repeat(np.arange(len(pictures.count)), pictures.count)
    return len(np.unique(sample[near[pictures.image]]))
