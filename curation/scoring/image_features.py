"""Make features of pictures for cross-fitted heads: distinct, centred, narrow, dealt to folds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from curation.pool import Pool
from curation.scoring.vector_ops import mean_of, reduce, unit_about
from medsift import records
from medsift.arrays import Doubles, Indices

DIMENSIONS: Final = 256


@dataclass(frozen=True, slots=True)
class ImageFeatures:
    """Features of the pictures that n samples show.

    `vectors` (u, d) are those of the distinct lists of pictures; `number` (n,) is each sample's
    list among them, -1 for text-only samples; `fold` (n,) is the fold that judges it.
    """

    vectors: Doubles
    number: Indices
    fold: Indices

    def take(self, rows: Indices) -> Doubles:
        """Return the features (r, d) of some samples with pictures."""
        return self.vectors[self.number[rows]]


def image_features(pool: Pool, folds: int, seed: int) -> ImageFeatures:
    """Return features and folds of a pool's pictures.

    Vectors are centred on the mean of the distinct pictures, scaled to unit length and reduced to
    `DIMENSIONS`; no text takes part. Samples of one group of pictures, one study or one patient
    share a fold, so that what was said about a picture, a copy of it or the same case never judges
    what else was said about it.
    """
    lists = [tuple(images or ()) for images in pool.samples["images"].to_pylist()]
    first: dict[tuple[str, ...], int] = {}
    for row, images in enumerate(lists):
        first.setdefault(images, row)
    # Numbers follow the names, which are content ids: the first ones are a fair draw for the axes.
    names = sorted(images for images in first if images)
    number = {images: number for number, images in enumerate(names)}
    vectors = pool.vectors.image[np.array([first[images] for images in names], np.int64)]
    mean = mean_of(vectors)
    return ImageFeatures(
        vectors=reduce(lambda part: unit_about(vectors[part], mean), len(names), DIMENSIONS),
        number=np.array([number.get(images, -1) for images in lists], np.int64),
        fold=deal(pool.image_groups, folds, seed),
    )


def deal(groups: Sequence[str], folds: int, seed: int) -> Indices:
    """Return the fold (n,) of each group by a hash of its name."""
    # By a hash and not in turn: neither order nor the other groups of the pool move a group.
    return np.array(
        [int(records.digest("fold", str(seed), group)[:12], 16) % folds for group in groups],
        np.int64,
    )
