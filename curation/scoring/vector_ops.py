"""Make vectors comparable: centred, unit, in few dimensions, a block of rows at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from curation.pool.pool import ZERO, unit_rows
from medsift.arrays import Doubles, Floats

Block = Callable[[slice], Doubles]

ROWS_AT_A_TIME: Final = 8192
ROWS_FOR_AXES: Final = 20_000


def mean_of(vectors: Floats) -> Doubles:
    """Return the mean (d,) of the vectors (n, d) that are not zero."""
    known = np.linalg.norm(vectors, axis=1) > ZERO
    # A single vector less itself would vanish: it keeps its direction.
    if known.sum() < 2:
        return np.zeros(vectors.shape[1])
    return np.asarray(vectors.sum(axis=0, dtype=np.float64, where=known[:, None]) / known.sum())


def unit_about(vectors: Floats | Doubles, mean: Doubles) -> Doubles:
    """Return unit vectors (n, d) from a mean (d,) to vectors (n, d); zero vectors stay zero."""
    known = np.linalg.norm(vectors, axis=1, keepdims=True) > ZERO
    return unit_rows(np.where(known, vectors - mean, 0.0))


def reduce(block: Block, n: int, dimensions: int) -> Doubles:
    """Return vectors of n rows in an orthonormal basis (n, dimensions) of where they vary most.

    `block` gives the vectors (b, d) of a slice of rows. The basis comes from the first
    `ROWS_FOR_AXES` rows by two steps of subspace iteration (Halko, Martinsson and Tropp 2011,
    arXiv 0909.4061, algorithm 4.4). Which basis of that subspace it is matters to no inner
    product, hence to no ridge regression.
    """
    first = block(slice(0, ROWS_FOR_AXES))
    starts = range(0, max(n, 1), ROWS_AT_A_TIME)
    blocks = (block(slice(start, start + ROWS_AT_A_TIME)) for start in starts)
    if first.shape[1] <= dimensions:
        return np.concatenate(list(blocks))
    moments = first.T @ first
    axes = np.random.default_rng(0).standard_normal((first.shape[1], dimensions))
    for _ in range(2):
        axes = np.linalg.qr(moments @ axes)[0]
    return np.concatenate([part @ axes for part in blocks])
