"""Vectors made comparable: centred, unit, in few dimensions, a block of rows at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from medsift.arrays import Doubles, Floats

Block = Callable[[slice], Doubles]

ROWS_AT_A_TIME: Final = 8192
ROWS_FOR_AXES: Final = 20_000
ZERO: Final = 1e-6


def mean_of(vectors: Floats) -> Doubles:
    """Mean (d,) of the vectors (n, d) that are not zero; zero where there are fewer than two."""
    there = np.linalg.norm(vectors, axis=1) > ZERO
    if there.sum() < 2:
        return np.zeros(vectors.shape[1])
    return np.asarray(vectors.sum(axis=0, dtype=np.float64, where=there[:, None]) / there.sum())


def unit_about(vectors: Floats | Doubles, mean: Doubles) -> Doubles:
    """Unit vectors (n, d) from a mean (d,) to vectors (n, d); zero vectors stay zero."""
    there = np.linalg.norm(vectors, axis=1, keepdims=True) > ZERO
    return unit(np.where(there, vectors - mean, 0.0))


def unit(vectors: Doubles) -> Doubles:
    """Vectors (n, d) divided by their norms, the zero vector by nothing."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    found: Doubles = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > ZERO)
    return found


def reduced(block: Block, n: int, dimensions: int) -> Doubles:
    """Vectors of n rows in an orthonormal basis (n, dimensions) of where they vary most.

    `block` gives the vectors (b, d) of a slice of rows. The basis comes from the first
    `ROWS_FOR_AXES` rows by two steps of subspace iteration (Halko, Martinsson and Tropp 2011,
    arXiv 0909.4061, algorithm 4.4). Which basis of that subspace it is matters to no inner
    product, hence to no ridge regression.
    """
    some = block(slice(0, ROWS_FOR_AXES))
    if some.shape[1] <= dimensions:
        return _rows(block, n)
    moments = some.T @ some
    axes = np.random.default_rng(0).standard_normal((some.shape[1], dimensions))
    for _ in range(2):
        axes = np.linalg.qr(moments @ axes)[0]
    return _rows(lambda part: block(part) @ axes, n)


def _rows(block: Block, n: int) -> Doubles:
    starts = range(0, max(n, 1), ROWS_AT_A_TIME)
    return np.concatenate([block(slice(start, start + ROWS_AT_A_TIME)) for start in starts])
