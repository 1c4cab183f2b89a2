"""Encode in batches of one fixed shape, so that a vector does not depend on its batch."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medsift.arrays import Vectors

Encode = Callable[[NDArray[Any]], Vectors]


def single_threaded_pool(threads: int) -> ThreadPoolExecutor:
    """Return a pool of `threads` workers in which torch runs on one thread each.

    Batches that run in parallel need no barrier between layers: they are as fast as one batch on
    all cores when these are free, and far faster when other programs use them.
    """
    import torch

    # torch sets this for the calling thread only.
    return ThreadPoolExecutor(threads, "encode", initializer=torch.set_num_threads, initargs=(1,))


def in_fixed_batches(
    rows: NDArray[Any],
    size: int,
    encode: Encode,
    dimension: int,
    pool: ThreadPoolExecutor | None = None,
) -> Vectors:
    """Encode rows in batches of exactly `size`, the last padded with zeros.

    Kernels are chosen by shape; with one shape, each row takes the same arithmetic in any batch.

    Args:
        rows: Encoder inputs (n, …).
        size: Rows of a batch.
        encode: The function that maps a batch to vectors (size, dimension).
        dimension: Length of a vector.
        pool: Workers that run batches in parallel; none when not given.

    Returns:
        Vectors (n, dimension).
    """
    batches = [rows[start : start + size] for start in range(0, len(rows), size)]
    if not batches:
        return np.empty((0, dimension), np.float32)
    missing = size - len(batches[-1])
    padding = np.zeros((missing, *rows.shape[1:]), rows.dtype)
    batches[-1] = np.concatenate([batches[-1], padding])
    encoded = list(map(encode, batches) if pool is None else pool.map(encode, batches))
    return np.concatenate(encoded)[: len(rows)]


def unit(vectors: NDArray[np.floating[Any]]) -> Vectors:
    """Scale rows to unit Euclidean norm, computed in float64; a zero row stays zero."""
    wide = vectors.astype(np.float64)
    norms = np.sqrt(np.einsum("ij,ij->i", wide, wide))[:, None]
    scaled = np.divide(wide, norms, out=np.zeros(wide.shape, np.float64), where=norms > 0)
    return np.asarray(scaled, np.float32)
