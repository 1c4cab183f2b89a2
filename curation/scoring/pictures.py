"""Pictures as cross-fitted heads see them: distinct, centred, in few dimensions, dealt to folds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from curation import records
from curation.pool import Pool
from curation.scoring.base import Doubles

Indices = NDArray[np.int64]

DIMENSIONS: Final = 256
ROWS_FOR_AXES: Final = 20_000


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
    `DIMENSIONS`. No text takes part. Samples of one image group share a fold, so that what was said about a
    picture, or about a copy of it, never judges what else was said about it.
    """
    place, first = _distinct(pool.samples["images"].to_pylist())
    vectors = _centred(pool.vectors.image[first].astype(np.float64))
    return Shown(
        features=reduce(vectors, DIMENSIONS),
        place=place,
        fold=deal(pool.image_groups, folds, seed),
    )


def reduce(vectors: Doubles, dimensions: int) -> Doubles:
    """Vectors (n, d) in an orthonormal basis (n, dimensions) of where they vary most.

    Two steps of subspace iteration on the second moments of the first `ROWS_FOR_AXES` rows (Halko,
    Martinsson and Tropp 2011, arXiv 0909.4061, algorithm 4.4); which basis of that subspace it is
    matters to no inner product, hence to no ridge regression.
    """
    d = vectors.shape[1]
    if d <= dimensions:
        return vectors
    some = vectors[:ROWS_FOR_AXES]
    moments = some.T @ some
    axes = np.random.default_rng(0).standard_normal((d, dimensions))
    for _ in range(2):
        axes = np.linalg.qr(moments @ axes)[0]
    return vectors @ axes


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


def _centred(vectors: Doubles) -> Doubles:
    if len(vectors) > 1:
        vectors = vectors - vectors.mean(axis=0)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Doubles = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 1e-9)
    return unit
