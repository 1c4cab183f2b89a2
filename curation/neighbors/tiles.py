"""One square of the similarity matrix at a time: what a Ray task computes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from curation.neighbors.cosine import exact_cosine, tensor_of
from curation.neighbors.pairs import Pairs, join_pairs
from curation.neighbors.prefilter import Prefilter, rounding
from curation.neighbors.shortlist import Shortlist, shortlist_of
from medsift.arrays import Floats, Indices
from medsift.errors import UsageError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Tile:
    """Rows `top` … `bottom` - 1 against rows `start` … `stop` - 1, on or above the diagonal."""

    top: int
    bottom: int
    start: int
    stop: int

    @property
    def diagonal(self) -> bool:
        """Tell whether the tile meets itself."""
        return self.top == self.start


@dataclass(frozen=True, slots=True)
class TileResult:
    """What one tile found: pairs by row number, and shortlists where they were asked for."""

    tile: Tile
    pairs: Pairs
    of_rows: Shortlist | None = None
    of_columns: Shortlist | None = None
    earlier: Shortlist | None = None


TileRunner = Callable[[Callable[[Tile], TileResult], Sequence[Tile]], Iterable[TileResult]]


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
    or `earlier` the prefilter must hold the vectors themselves in float32.
    """

    vectors: Floats
    prefilter: Prefilter
    threshold: float | None
    limit: int
    k: int | None = None
    earlier: bool = False
    device: str = "cpu"

    def __post_init__(self) -> None:
        self._held: torch.Tensor | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_held": None}

    def __call__(self, tile: Tile) -> TileResult:
        """Join one tile."""
        return join_tile(self, tile)

    @property
    def error(self) -> float:
        """Return the most that a float32 product of two rows is off their cosine."""
        return self.prefilter.margin + rounding(self.vectors.shape[1])

    def product(self, tile: Tile) -> torch.Tensor:
        """Return the products (bottom - top, stop - start), on the job's device."""
        if self._held is None:
            self._held = tensor_of(self.prefilter.rows).to(self.device)
        top, start = self._held[tile.top : tile.bottom], self._held[tile.start : tile.stop]
        if self.prefilter.precision == "bfloat16":
            return top.bfloat16() @ start.bfloat16().T
        return top @ start.T


def join_tile(job: TileJob, tile: Tile) -> TileResult:
    """Return the pairs and shortlists of one tile; depends on nothing but its arguments.

    Raises:
        UsageError: the tile holds more pairs than the job's limit.
    """
    import torch

    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        product = job.product(tile)
    finally:
        torch.set_float32_matmul_precision(before)
    pairs = Pairs.empty() if job.threshold is None else _tile_pairs(job, tile, product)
    if job.k is None and not job.earlier:
        return TileResult(tile, pairs)
    return _with_shortlists(job, tile, pairs, product)


def _tile_pairs(job: TileJob, tile: Tile, product: torch.Tensor) -> Pairs:
    assert job.threshold is not None
    left, right = _survivors(product, job.threshold - job.prefilter.margin, tile)
    check_limit(len(left), job.limit, job.threshold)
    similarity = exact_cosine(job.vectors, left, right)
    return Pairs(left, right, similarity).where(similarity >= job.threshold)


def check_limit(count: int, limit: int, threshold: float) -> None:
    """Refuse more pairs than a caller is ready to hold.

    Raises:
        UsageError: more than `limit` pairs.
    """
    if count > limit:
        raise UsageError(
            f"at least {count} pairs are above cosine {threshold}, more than the limit of {limit}: "
            "raise the threshold or the limit, or read them tile by tile with iter_pairs",
            code="too_many_pairs",
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


def _with_shortlists(job: TileJob, tile: Tile, pairs: Pairs, product: torch.Tensor) -> TileResult:
    import torch

    of_rows = of_columns = earlier = None
    if job.k is not None:
        if tile.diagonal:
            product.fill_diagonal_(-torch.inf)
        of_rows = shortlist_of(product, job.k, tile.start)
        if not tile.diagonal:
            of_columns = shortlist_of(product.T.contiguous(), job.k, tile.top)
    if job.earlier:
        if tile.diagonal:
            above = torch.ones_like(product, dtype=torch.bool).triu_(1)
            product.masked_fill_(~above, -torch.inf)
        earlier = shortlist_of(product.T.contiguous(), 1, tile.top)
    return TileResult(tile, pairs, of_rows, of_columns, earlier)


@dataclass(frozen=True, slots=True)
class Merged:
    """All tiles together: sorted pairs and one shortlist row for each of the n rows."""

    pairs: Pairs
    nearest: Shortlist | None
    earlier: Shortlist | None


def merge(results: Iterable[TileResult], job: TileJob) -> Merged:
    """Return the results of all tiles as one, taking them in any order as they arrive.

    Raises:
        UsageError: more pairs than the job's limit.
    """
    n = len(job.vectors)
    nearest = None if job.k is None else Shortlist.empty(n, job.k)
    earlier = Shortlist.empty(n, 1) if job.earlier else None
    parts, count = [], 0
    for result in results:
        parts.append(result.pairs)
        count += len(result.pairs)
        check_limit(count, job.limit, job.threshold or 0.0)
        _take(result, nearest, earlier)
    return Merged(join_pairs(parts), nearest, earlier)


def _take(result: TileResult, nearest: Shortlist | None, earlier: Shortlist | None) -> None:
    rows = slice(result.tile.top, result.tile.bottom)
    columns = slice(result.tile.start, result.tile.stop)
    if nearest is not None and result.of_rows is not None:
        nearest.add(rows, result.of_rows)
    if nearest is not None and result.of_columns is not None:
        nearest.add(columns, result.of_columns)
    if earlier is not None and result.earlier is not None:
        earlier.add(columns, result.earlier)


def run_here(work: Callable[[Tile], TileResult], tiles: Sequence[Tile]) -> Iterable[TileResult]:
    """Run the tiles one after another in this process."""
    return map(work, tiles)
