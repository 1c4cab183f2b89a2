"""Pictures as cross-fitted heads see them: distinct, centred, in few dimensions, dealt to folds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from curation.pool import Pool
from curation.scoring.vector_ops import mean_of, reduced, unit_about
from medsift import records
from medsift.arrays import Doubles, Indices

DIMENSIONS: Final = 256


@dataclass(frozen=True, slots=True)
class Shown:
    """What n samples show.

    `features` (u, d) are those of the distinct lists of pictures; `place` (n,) is each sample's
    list among them, -1 for text-only samples; `fold` (n,) is the fold that holds it out.
    """

    features: Doubles
    place: Indices
    fold: Indices

    def of(self, rows: Indices) -> Doubles:
        """Features (r, d) of some samples with pictures."""
        return self.features[self.place[rows]]


def look_at(pool: Pool, folds: int, seed: int) -> Shown:
    """Features and folds of a pool's pictures.

    Vectors are centred on the mean of the distinct pictures, scaled to unit length and reduced to
    `DIMENSIONS`; no text takes part. Samples of one group of pictures, one study or one patient
    share a fold, so that what was said about a picture, a copy of it or the same case never judges
    what else was said about it.
    """
    place, first = _distinct(pool.samples["images"].to_pylist())
    vectors = pool.vectors.image[first]
    mean = mean_of(vectors)
    return Shown(
        features=reduced(lambda part: unit_about(vectors[part], mean), len(first), DIMENSIONS),
        place=place,
        fold=deal(pool.image_groups, folds, seed),
    )


def deal(groups: Sequence[str], folds: int, seed: int) -> Indices:
    """Fold (n,) of each group by a hash of its name: not by order, nor by who else is there."""
    return np.array(
        [int(records.digest("fold", str(seed), group)[:12], 16) % folds for group in groups],
        np.int64,
    )


def _distinct(lists: Sequence[Sequence[str] | None]) -> tuple[Indices, Indices]:
    """Number (n,) of each list of pictures, -1 for none, and a row (u,) that shows each list.

    Numbers follow the names, hence content ids: the first ones are a fair draw.
    """
    first: dict[tuple[str, ...], int] = {}
    for row, images in enumerate(lists):
        if images:
            first.setdefault(tuple(images), row)
    names = sorted(first)
    number = {name: place for place, name in enumerate(names)}
    place = [number[tuple(images)] if images else -1 for images in lists]
    return np.array(place, np.int64), np.array([first[name] for name in names], np.int64)
