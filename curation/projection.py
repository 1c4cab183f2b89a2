"""Draw the map of a pool: its vectors in two dimensions, the same every time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def principal_plane(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the coordinates (n, 2) of vectors (n, d) on their two principal axes.

    Each axis points to where its largest loading is positive, which fixes the sign that an
    eigenvector leaves open. Fewer than two rows or dimensions give zeros.
    """
    count, dimension = vectors.shape
    if count < 2 or dimension < 2:
        return np.zeros((count, 2), dtype=np.float32)
    centred = vectors - vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
    plane = _leading(centred.T @ centred) if dimension <= count else _spanned(centred)
    largest = np.abs(plane).argmax(axis=0)
    plane = plane * np.sign(plane[largest, [0, 1]])
    coordinates: NDArray[np.float32] = centred @ plane.astype(np.float32)
    return coordinates


def _leading(symmetric: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Return the two eigenvectors (d, 2) of the largest eigenvalues, the largest first."""
    from scipy.linalg import eigh  # type: ignore[import-untyped]

    size = len(symmetric)
    _, axes = eigh(symmetric.astype(np.float64), subset_by_index=(size - 2, size - 1))
    found: NDArray[np.float64] = axes[:, ::-1]
    return found


def _spanned(centred: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the axes for fewer rows than dimensions, from the smaller matrix of rows by rows.

    Where nothing varies along the second axis, any axis orthogonal to the first serves.
    """
    wide = centred.astype(np.float64)
    axes: NDArray[np.float64] = np.linalg.qr(wide.T @ _leading(wide @ wide.T)).Q
    return axes
