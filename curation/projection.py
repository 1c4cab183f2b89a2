"""The map of a pool: its vectors in two dimensions, the same every time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def principal_plane(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Coordinates (n, 2) of vectors (n, d) on their two principal axes.

    Each axis points to where its largest loading is positive, which fixes the sign that an
    eigenvector leaves open. Fewer than two rows or dimensions give zeros.
    """
    count, dimension = vectors.shape
    if count < 2 or dimension < 2:
        return np.zeros((count, 2), dtype=np.float32)
    from scipy.linalg import eigh  # type: ignore[import-untyped]

    centred = vectors - vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
    covariance = (centred.T @ centred).astype(np.float64)
    _, axes = eigh(covariance, subset_by_index=(dimension - 2, dimension - 1))
    plane = axes[:, ::-1]
    largest = np.abs(plane).argmax(axis=0)
    plane = plane * np.sign(plane[largest, [0, 1]])
    coordinates: NDArray[np.float32] = centred @ plane.astype(np.float32)
    return coordinates
