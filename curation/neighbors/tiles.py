"""Compute one square of the similarity matrix at a time, as a Ray task does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

import numpy as np

from curation.neighbors.cosine import HAS_TORCH, exact_cosine, tensor_of
from curation.neighbors.pairs import Pairs, join_pairs
from curation.neighbors.prefilter import Prefilter, rounding
from curation.neighbors.shortlist import Shortlist, shortlist_of
from medsift.arrays import Floats, Indices
from medsift.errors import UsageError

if TYPE_CHECKING:
    import torch


HALF_UNIT: Final = 2.0**-25
"""Half the spacing of float32 below 1: a bar that is rounded to float32 rises by less."""
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Tile:
    """Rows `top` … `bottom` - 1 against rows `start` … `stop` - 1, on or above the diagonal."""

    top: int
    bottom: int
    start: int
    stop: int

    @property
    def diagonal(self) -> bool:
        """Return whether the tile is compared with itself."""
        return self.top == self.start


@dataclass(frozen=True, slots=True)
class TileResult:
    """Pairs of one tile by row number, and its shortlists where they were asked for."""

    tile: Tile
    pairs: Pairs
    of_rows: Shortlist | None = None
    of_columns: Shortlist | None = None
    earlier: Shortlist | None = None


TileRunner = Callable[[Callable[[Tile], TileResult], Sequence[Tile]], Iterable[TileResult]]


class Runner(Protocol):
    """Applies a pure, picklable function to items, and returns the results in their order."""

    def __call__(
        self, function: Callable[[Item], Result], items: Sequence[Item], /
    ) -> Iterable[Result]:
        """Apply the function."""
        ...


def plan_tiles(n: int, tile: int) -> list[Tile]:
    """Return the tiles that cover each pair of n rows once."""
    starts = range(0, n, tile)
    return [
        Tile(top, min(top + tile, n), start, min(start + tile, n))
        for top in starts
        for start in starts
        if start >= top
    ]


@dataclass
class TileJob:
    """The work on every tile of one join; picklable, and callable with a tile.

    `vectors` (n, d) decide; the products of `prefilter` pick what is worth deciding. With `k`
    or `earlier` the prefilter must have the vectors themselves in float32.
    """

    vectors: Floats
    prefilter: Prefilter
    threshold: float | None
    limit: int
    k: int | None = None
    earlier: bool = False
    device: str = "cpu"

    def __post_init__(self) -> None:
        self._on_device: torch.Tensor | None = None

    def __getstate__(self) -> dict[str, Any]:
        # A worker copies the rows to its own device.
        return {**self.__dict__, "_on_device": None}

    def __call__(self, tile: Tile) -> TileResult:
        """Return the pairs and shortlists of one tile; depends on nothing but the job and tile.

        NumPy computes it where torch is not installed: the results are the same, as exact
        cosines decide them.

        Raises:
            UsageError: the tile has more pairs than the job's limit.
        """
        if not HAS_TORCH:
            return self._by_numpy(tile)
        import torch

        before = torch.get_float32_matmul_precision()
        # TF32 would be off by more than the margin allows, and so miss pairs.
        torch.set_float32_matmul_precision("highest")
        try:
            product = self._product(tile)
        finally:
            torch.set_float32_matmul_precision(before)
        pairs = Pairs.empty()
        if self.threshold is not None:
            left, right = _survivors(product, self.threshold - self.prefilter.margin, tile)
            check_limit(len(left), self.limit, self.threshold)
            similarity = exact_cosine(self.vectors, left, right)
            pairs = Pairs(left, right, similarity).where(similarity >= self.threshold)
        of_rows = of_columns = earlier = None
        if self.k is not None:
            if tile.diagonal:
                product.fill_diagonal_(-torch.inf)
            of_rows = shortlist_of(product, self.k, tile.start)
            # Each pair of rows is in one tile alone: the columns meet the rows here or nowhere.
            if not tile.diagonal:
                of_columns = shortlist_of(product.T.contiguous(), self.k, tile.top)
        if self.earlier:
            if tile.diagonal:
                above = torch.ones_like(product, dtype=torch.bool).triu_(1)
                product.masked_fill_(~above, -torch.inf)
            earlier = shortlist_of(product.T.contiguous(), 1, tile.top)
        return TileResult(tile, pairs, of_rows, of_columns, earlier)

    def _by_numpy(self, tile: Tile) -> TileResult:
        rows = self.prefilter.rows
        product = rows[tile.top : tile.bottom] @ rows[tile.start : tile.stop].T
        if tile.diagonal:
            np.fill_diagonal(product, -np.inf)
        pairs = Pairs.empty()
        if self.threshold is not None:
            near = product >= np.float32(self.threshold - self.prefilter.margin - HALF_UNIT)
            left, right = np.nonzero(np.triu(near) if tile.diagonal else near)
            left, right = left + tile.top, right + tile.start
            check_limit(len(left), self.limit, self.threshold)
            similarity = exact_cosine(self.vectors, left, right)
            pairs = Pairs(left, right, similarity).where(similarity >= self.threshold)
        of_rows = of_columns = earlier = None
        if self.k is not None:
            of_rows = shortlist_of(product, self.k, tile.start)
            if not tile.diagonal:
                of_columns = shortlist_of(product.T, self.k, tile.top)
        if self.earlier:
            if tile.diagonal:
                product[np.tril_indices(len(product))] = -np.inf
            earlier = shortlist_of(product.T, 1, tile.top)
        return TileResult(tile, pairs, of_rows, of_columns, earlier)

    @property
    def error(self) -> float:
        """Return the most that a float32 product of two rows is off their cosine."""
        return self.prefilter.margin + rounding(self.vectors.shape[1])

    def _product(self, tile: Tile) -> torch.Tensor:
        """Return the products (bottom - top, stop - start), on the job's device."""
        if self._on_device is None:
            self._on_device = tensor_of(self.prefilter.rows).to(self.device)
        top = self._on_device[tile.top : tile.bottom]
        start = self._on_device[tile.start : tile.stop]
        if self.prefilter.precision == "bfloat16":
            return top.bfloat16() @ start.bfloat16().T
        return top @ start.T


def check_limit(count: int, limit: int, threshold: float) -> None:
    """Refuse more pairs than a caller has room for.

    Raises:
        UsageError: more than `limit` pairs.
    """
    if count > limit:
        raise UsageError(
            f"at least {count} pairs are above cosine {threshold}, more than the limit of {limit}: "
            "raise the threshold or the limit, or read them tile by tile with iter_pairs",
            code="too_many_pairs",
            limit=limit,
        )


def _survivors(product: torch.Tensor, bar: float, tile: Tile) -> tuple[Indices, Indices]:
    """Return the places (p,), (p,) above the diagonal where the product reaches the bar."""
    # A comparison would round the bar to the product's precision: round it downwards first.
    low = float(np.nextafter(np.float32(bar), np.float32(-np.inf)))
    if tile.diagonal:
        product = product.clone().fill_diagonal_(-2.0)
    # Few rows have any: the row maxima are read at memory speed, the rest only where needed.
    rows = (product.amax(1).float() >= low).nonzero().flatten()
    place = (product[rows].float() >= low).nonzero()
    left = rows[place[:, 0]].cpu().numpy() + tile.top
    right = place[:, 1].cpu().numpy() + tile.start
    above = left < right
    return left[above], right[above]


def merge(
    results: Iterable[TileResult], job: TileJob, scratch: Path | None = None
) -> tuple[Pairs, Shortlist | None, Shortlist | None]:
    """Return the sorted pairs of all tiles, and the nearest and nearest earlier rows of n rows.

    Results are taken in any order, as they arrive. Large shortlists are mapped from files in
    `scratch`.

    Raises:
        UsageError: more pairs than the job's limit.
    """
    n = len(job.vectors)
    nearest = None if job.k is None else Shortlist.empty(n, job.k, scratch)
    earlier = Shortlist.empty(n, 1, scratch) if job.earlier else None
    parts, count = [], 0
    for result in results:
        parts.append(result.pairs)
        count += len(result.pairs)
        check_limit(count, job.limit, job.threshold or 0.0)
        rows = slice(result.tile.top, result.tile.bottom)
        columns = slice(result.tile.start, result.tile.stop)
        for shortlist, part, places in (
            (nearest, result.of_rows, rows),
            (nearest, result.of_columns, columns),
            (earlier, result.earlier, columns),
        ):
            if shortlist is not None and part is not None:
                shortlist.add(places, part)
    return join_pairs(parts), nearest, earlier
