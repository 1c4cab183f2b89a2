"""Compute cosines that are bit for bit the same on every device, tile and order."""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from medsift.arrays import Doubles, Floats, Indices
from medsift.errors import InputError

if TYPE_CHECKING:
    import torch

HAS_TORCH: Final = find_spec("torch") is not None
"""Whether torch is installed; a light install of MedSift compares vectors by NumPy."""

NORM_TOLERANCE = 1e-3
# Adding and taking away a number of [2, 4) rounds what is smaller than 1 to a multiple of 2**-51.
_ROUNDER = 3.0
_ROWS_AT_A_TIME = 256


def tensor_of(array: npt.NDArray[Any]) -> torch.Tensor:
    """Share the memory of an array with torch, also of a read-only one (never written to)."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return torch.from_numpy(np.ascontiguousarray(array))


def check_vectors(vectors: Floats) -> Doubles:
    """Return the norms (n,) of vectors (n, d), each 1 or (a vector that matches nothing) 0.

    Raises:
        InputError: not a two-dimensional float32 array, or a row that is not finite or not unit.
    """
    if vectors.ndim != 2 or vectors.dtype != np.float32:
        raise InputError(
            f"vectors are {vectors.dtype} of shape {vectors.shape}; pass a float32 array of shape "
            "(n, d)",
            code="vectors_invalid",
            dtype=str(vectors.dtype),
            shape=vectors.shape,
        )
    norms = np.empty(len(vectors), dtype=np.float64)
    # In blocks: a float64 copy of all vectors would double the memory twice.
    for start in range(0, len(vectors), _ROWS_AT_A_TIME):
        block = vectors[start : start + _ROWS_AT_A_TIME].astype(np.float64)
        norms[start : start + _ROWS_AT_A_TIME] = np.sqrt(np.einsum("ij,ij->i", block, block))
    wrong = np.flatnonzero(~((np.abs(norms - 1.0) <= NORM_TOLERANCE) | (norms == 0.0)))
    if len(wrong):
        raise InputError(
            f"vector {wrong[0]} has norm {norms[wrong[0]]:.6g} ({len(wrong)} such rows); "
            "allowed is 1 or 0: divide each vector by its norm",
            code="vectors_invalid",
            row=int(wrong[0]),
            rows=len(wrong),
        )
    return norms


def exact_cosine(vectors: Floats, left: Indices, right: Indices) -> Doubles:
    """Return the cosines (p,) of the row pairs (left[i], right[i]) of vectors (n, d).

    A product of two float32 is exact in float64. Each is rounded to a multiple of 2**-51; sums
    of those stay below 2**53 such units, so float64 adds them exactly: no order of summation,
    thread count, tile or device can change the result. A dot product is off by at most
    d * 2**-52; dividing by the norms, summed the same way, makes the cosine of a vector with
    its copy exactly 1.
    """
    used, place = np.unique(np.concatenate([left, right]), return_inverse=True)
    squares = _dots(vectors, used, used)
    left_square, right_square = squares[place[: len(left)]], squares[place[len(left) :]]
    cosine: Doubles = _dots(vectors, left, right) / np.sqrt(left_square * right_square)
    return np.clip(cosine, -1.0, 1.0)


def _dots(vectors: Floats, left: Indices, right: Indices) -> Doubles:
    dots = np.empty(len(left), dtype=np.float64)
    for start in range(0, len(left), _ROWS_AT_A_TIME):
        part = slice(start, start + _ROWS_AT_A_TIME)
        products = vectors[left[part]].astype(np.float64)
        products *= vectors[right[part]]
        products += _ROUNDER
        products -= _ROUNDER
        dots[part] = products.sum(1)
    return dots
