"""Do the probe's linear algebra: by NumPy and SciPy on a CPU, by torch on a GPU."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from medsift.arrays import Doubles, Indices

Array = Any
"""An array of the algebra's own kind: NumPy's, or a torch tensor on its device."""


class Algebra(Protocol):
    """The operations that the learner needs beyond those which both kinds of arrays have.

    Products, sums and cuts are written with operators. Both kinds agree to rounding.
    """

    @property
    def device(self) -> str:
        """The torch device."""
        ...

    def put(self, values: NDArray[Any]) -> Array:
        """Return an array of this kind with the same type of numbers."""
        ...

    def get(self, array: Array) -> Doubles:
        """Return the array as NumPy's doubles."""
        ...

    def exp(self, array: Array) -> Array:
        """Return e to the power of each number."""
        ...

    def single(self, array: Array) -> Array:
        """Return the array in single precision."""
        ...

    def double(self, array: Array) -> Array:
        """Return the array in double precision."""
        ...

    def stack(self, blocks: list[Array]) -> Array:
        """Join blocks of rows."""
        ...

    def cut(self, matrix: Array, rows: Indices, columns: Indices) -> Array:
        """Return some rows and columns (r, c) of a matrix."""
        ...

    def eigh(self, matrix: Array) -> tuple[Array, Array]:
        """Return the ascending eigenvalues (m,) and the vectors (m, m) of a symmetric matrix."""
        ...

    def solve(self, matrix: Array, right: Array, added: Iterable[Array]) -> Iterator[Array]:
        """Yield w (m, c) of (A + D) w = right, with a symmetric A, for each diagonal D (m,)."""
        ...


@dataclass(frozen=True)
class NumpyAlgebra:
    """NumPy and SciPy, in this process."""

    device: str = "cpu"

    def put(self, values: NDArray[Any]) -> Array:
        """Return the array itself."""
        return values

    def get(self, array: Array) -> Doubles:
        """Return the array as doubles."""
        return np.asarray(array, np.float64)

    def exp(self, array: Array) -> Array:
        """Return e to the power of each number."""
        return np.exp(array)

    def single(self, array: Array) -> Array:
        """Return the array in single precision."""
        return array.astype(np.float32)

    def double(self, array: Array) -> Array:
        """Return the array in double precision."""
        return array.astype(np.float64)

    def stack(self, blocks: list[Array]) -> Array:
        """Join blocks of rows."""
        return np.concatenate(blocks)

    def cut(self, matrix: Array, rows: Indices, columns: Indices) -> Array:
        """Return some rows and columns (r, c) of a matrix."""
        return matrix[np.ix_(rows, columns)]

    def eigh(self, matrix: Array) -> tuple[Array, Array]:
        """Return the ascending eigenvalues (m,) and the vectors (m, m) of a symmetric matrix."""
        values, axes = np.linalg.eigh(matrix)
        return values, axes

    def solve(self, matrix: Array, right: Array, added: Iterable[Array]) -> Iterator[Array]:
        """Yield the solutions (m, c) by Cholesky's factors."""
        from scipy.linalg import cho_factor, cho_solve  # type: ignore[import-untyped]

        # In BLAS's order, so that a factor replaces the copy without another; one block of memory
        # serves all, since the system clears the pages of a new one.
        left = np.empty(matrix.shape, order="F")
        for diagonal in added:
            # The matrix is its own transpose, and of that the copy needs no change of order.
            np.copyto(left, matrix.T)
            left[np.diag_indices_from(left)] += diagonal
            factor = cho_factor(left, lower=True, overwrite_a=True, check_finite=False)
            yield cho_solve(factor, right, check_finite=False)


@dataclass(frozen=True)
class TorchAlgebra:
    """Torch on one device."""

    device: str

    def put(self, values: NDArray[Any]) -> Array:
        """Copy an array to the device."""
        import torch

        return torch.tensor(values, device=self.device)

    def get(self, array: Array) -> Doubles:
        """Copy an array from the device, as doubles."""
        return np.asarray(array.double().cpu().numpy(), np.float64)

    def exp(self, array: Array) -> Array:
        """Return e to the power of each number."""
        return array.exp()

    def single(self, array: Array) -> Array:
        """Return the array in single precision."""
        return array.float()

    def double(self, array: Array) -> Array:
        """Return the array in double precision."""
        return array.double()

    def stack(self, blocks: list[Array]) -> Array:
        """Join blocks of rows."""
        import torch

        return torch.cat(blocks)

    def cut(self, matrix: Array, rows: Indices, columns: Indices) -> Array:
        """Return some rows and columns (r, c) of a matrix."""
        return matrix[self.put(rows)[:, None], self.put(columns)]

    def eigh(self, matrix: Array) -> tuple[Array, Array]:
        """Return the ascending eigenvalues (m,) and the vectors (m, m) of a symmetric matrix."""
        import torch

        values, axes = torch.linalg.eigh(matrix)
        return values, axes

    def solve(self, matrix: Array, right: Array, added: Iterable[Array]) -> Iterator[Array]:
        """Yield the solutions (m, c) by Cholesky's factors."""
        import torch

        for diagonal in added:
            left = matrix.clone()
            left.diagonal().add_(diagonal)
            yield torch.cholesky_solve(right, torch.linalg.cholesky(left))


def algebra_on(device: str) -> Algebra:
    """Return the algebra of a device, by the setting `neighbors.device` of a run.

    Raises:
        UsageError: a CUDA device where torch sees none.
    """
    # A CPU setting needs no torch to be understood.
    if device == "cpu":
        return NumpyAlgebra()
    from curation.neighbors.join import choose_device

    chosen = choose_device(device)
    return NumpyAlgebra() if chosen == "cpu" else TorchAlgebra(chosen)
