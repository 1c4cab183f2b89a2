"""Count what each threshold on image cosine would drop, before anything is dropped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.dedup.samples import Pictures
from curation.dedup.schemas import SWEEP
from curation.matching.image_copies import Copies, ImageSet
from curation.neighbors import NeighborsConfig, TileRunner, join
from medsift.arrays import Doubles, Floats, Indices
from medsift.records import digest

THRESHOLDS: Final = tuple(at / 100 for at in range(80, 100))
ALL: Final = "all"
UNKNOWN: Final = "unknown"


def sweep_images(
    images: ImageSet,
    copies: Copies,
    pictures: Pictures,
    modalities: pa.ChunkedArray,
    neighbors: NeighborsConfig,
    *,
    limit: int,
    seed: int,
    run: TileRunner | None = None,
) -> pa.Table:
    """Count, per modality and threshold, images with a near image before them (by image id).

    Counts such images, the samples that show one, and those images that pixels confirm as copies.

    Args:
        images: Images to look at.
        copies: Confirmed copies among them.
        pictures: The images of each sample (n).
        modalities: Of each sample (n); an image takes the commonest of its samples, of equals the
            first by name.
        neighbors: How near images are searched.
        limit: Images to look at; of more, a sample is drawn.
        seed: Of the draw.
        run: Spreads a large search over workers.
    """
    count = len(images.ids)
    picked = draw(images.ids, limit, seed)
    nearest = np.full(count, -np.inf)
    nearest[picked] = nearest_earlier(
        images.vectors[picked], np.arange(len(picked), dtype=np.int64), neighbors, run
    )
    # A copy counts as confirmed only against an image that was looked at, as cosines do.
    left, right = copies.pairs.left, copies.pairs.right
    confirmed = np.zeros(count, bool)
    confirmed[right[np.isin(left, picked) & np.isin(right, picked)]] = True
    sample = np.repeat(np.arange(len(modalities)), pictures.count)
    names, of_image = _modality_of_images(count, pictures, modalities)
    lines = []
    everywhere = np.ones(count, bool)
    for modality in (ALL, *(names[code] for code in np.unique(of_image).tolist())):
        in_modality = everywhere if modality == ALL else of_image == names.index(modality)
        for threshold in THRESHOLDS:
            near = in_modality & (nearest >= threshold)
            lines.append(
                {
                    "modality": modality,
                    "threshold": threshold,
                    "images": int(near.sum()),
                    "samples": len(np.unique(sample[near[pictures.image]])),
                    "confirmed": int((near & confirmed).sum()),
                }
            )
    return pa.Table.from_pylist(lines, schema=SWEEP)


def _modality_of_images(
    count: int, pictures: Pictures, modalities: pa.ChunkedArray
) -> tuple[list[str], Indices]:
    """Return all modalities, sorted, and the place (n,) of each image's commonest among them."""
    # A name of no character says as little as none.
    plain = pc.if_else(pc.equal(pc.fill_null(modalities, ""), ""), UNKNOWN, modalities)
    given = np.unique([UNKNOWN, *pc.unique(plain).to_pylist()])
    code = pc.index_in(plain, pa.array(given.tolist(), pa.string())).to_numpy().astype(np.int64)
    unknown, code = int(np.searchsorted(given, UNKNOWN)), np.repeat(code, pictures.count)
    votes, number = np.unique(pictures.image * len(given) + code, return_counts=True)
    image, name = votes // len(given), votes % len(given)
    # The commonest of each image first; of equals the first by name.
    order = np.lexsort((name, -number, image))
    first = np.unique(image[order], return_index=True)[1]
    of_image = np.full(count, unknown, np.int64)
    of_image[image[order[first]]] = name[order[first]]
    return given.tolist(), of_image


def draw(keys: Sequence[str], limit: int, seed: int) -> Indices:
    """Draw the places of at most `limit` keys by seed and key, whatever the order of the keys."""
    if len(keys) <= limit:
        return np.arange(len(keys), dtype=np.int64)
    # A lot for each key by itself, so that a new image changes the draw of few others.
    lots = np.array([digest(str(seed), key) for key in keys])
    return np.sort(np.argsort(lots, kind="stable")[:limit]).astype(np.int64)


def nearest_earlier(
    vectors: Floats, order: Indices, neighbors: NeighborsConfig, run: TileRunner | None
) -> Doubles:
    """Return each row's largest cosine (n,) to an earlier row, -inf for none.

    Args:
        vectors: Unit or zero vectors (n, d), float32.
        order: Row numbers (n,), the earliest first.
        neighbors: How near rows are searched; the search is exact at any size.
        run: Spreads a large search over workers; None is this process.
    """
    if not len(vectors):
        return np.empty(0)
    runner = neighbors.runner(len(vectors), run)
    highest = join(vectors, order=order, device=neighbors.device, run=runner).max_earlier
    assert highest is not None
    return highest
