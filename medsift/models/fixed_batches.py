"""Batches of one fixed shape, so that a vector never depends on its neighbours in a batch."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medsift.arrays import Vectors

Encode = Callable[[NDArray[Any]], Vectors]


def single_threaded_pool(threads: int) -> ThreadPoolExecutor:
    """`threads` workers in which torch runs on one thread each.

    Whole batches side by side need no barrier between layers: as fast as one batch on all cores
    when they are free, and far faster when something else uses them.
    """
    import torch

    # The setting belongs to the calling thread; the rest of the process keeps its own.
    return ThreadPoolExecutor(threads, "encode", initializer=torch.set_num_threads, initargs=(1,))


def in_fixed_batches(
    rows: NDArray[Any],
    size: int,
    encode: Encode,
    dimension: int,
    pool: ThreadPoolExecutor | None = None,
) -> Vectors:
    """`encode` over `rows` (n, …) in batches of exactly `size`, the last padded with zeros.

    Kernels are chosen by shape; with one shape, each row takes the same arithmetic wherever it
    stands. With a `pool`, batches run side by side in it. Returns (n, dimension).
    """
    batches = [_padded(rows[start : start + size], size) for start in range(0, len(rows), size)]
    encoded = list(map(encode, batches) if pool is None else pool.map(encode, batches))
    if not encoded:
        return np.empty((0, dimension), np.float32)
    return np.concatenate(encoded)[: len(rows)]


def _padded(batch: NDArray[Any], size: int) -> NDArray[Any]:
    missing = size - len(batch)
    if missing == 0:
        return batch
    return np.concatenate([batch, np.zeros((missing, *batch.shape[1:]), batch.dtype)])


def unit(vectors: NDArray[np.floating[Any]]) -> Vectors:
    """Rows scaled to unit Euclidean norm in float64; a zero row stays zero."""
    wide = vectors.astype(np.float64)
    norms = np.sqrt(np.einsum("ij,ij->i", wide, wide))[:, None]
    scaled = np.divide(wide, norms, out=np.zeros(wide.shape, np.float64), where=norms > 0)
    return np.asarray(scaled, np.float32)
