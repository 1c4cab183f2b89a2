"""Round vectors to whole numbers, so that their products are exact."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from curation.neighbors import check_vectors
from medsift.arrays import Doubles, Floats, Indices
from medsift.storage.scratch import scratch_zeros

# float32 represents every whole number up to here.
_EXACT = 1 << 24
_ROWS_AT_A_TIME = 1 << 14


@dataclass(frozen=True, slots=True)
class QuantizedVectors:
    """Vectors (n, d) times `scale`, rounded to whole numbers, as float32.

    A product of two is at most |a| |b| < 2^24, and so is every partial sum (Cauchy-Schwarz): each
    is a whole number that float32 represents. Whatever order, thread count or tile a matrix product
    has, it is equal, within about 1e-4 of the cosine of unit vectors.
    """

    points: Floats
    scale: float

    def __len__(self) -> int:
        """Count the vectors."""
        return len(self.points)

    def take(self, rows: Indices) -> QuantizedVectors:
        """Return the vectors (m, d) of some rows."""
        return QuantizedVectors(self.points[rows], self.scale)

    def cosines(self, rows: Indices, others: Indices) -> Doubles:
        """Return the cosines (m,) of the unit vectors `rows[i]` and `others[i]`."""
        products = np.empty(len(rows))
        for start in range(0, len(rows), _ROWS_AT_A_TIME):
            part = slice(start, start + _ROWS_AT_A_TIME)
            pair = self.points[rows[part]], self.points[others[part]]
            products[part] = np.einsum("ij,ij->i", *pair)
        return products / self.scale**2

    def squared_norms(self) -> Doubles:
        """Return the squared norms (n,), in units of 1 / scale²."""
        return np.asarray(np.einsum("ij,ij->i", self.points, self.points), np.float64)

    def squared_distances(self, squares: Doubles, rows: Indices) -> Doubles:
        """Return the squared distances (n, m) of all vectors to those in `rows`, in those units.

        `squares` (n,) are the squared norms, which callers compute once.
        """
        product = (self.points @ self.points[rows].T).astype(np.float64)
        return np.asarray(squares[:, None] + squares[rows] - 2.0 * product)


def quantize(vectors: Floats, scratch: Path | None = None) -> QuantizedVectors:
    """Round unit or zero vectors (n, d) as finely as exact products allow.

    Many are mapped from a file in `scratch`.

    Raises:
        InputError: vectors that are not float32, two-dimensional, finite and unit (or zero).
    """
    norms = check_vectors(vectors)
    width, longest = vectors.shape[1], float(norms.max(initial=1.0))
    # Rounding lengthens a vector by at most half a unit in each direction.
    scale = np.floor((_EXACT**0.5 - 1.0 - 0.5 * width**0.5) / longest)
    points = scratch_zeros(vectors.shape, np.float32, scratch)
    for start in range(0, len(vectors), _ROWS_AT_A_TIME):
        rows = slice(start, start + _ROWS_AT_A_TIME)
        np.rint(vectors[rows] * np.float32(scale), out=points[rows])
    return QuantizedVectors(points, float(scale))
