"""Find all similar pairs, nearest neighbours and nearest earlier rows in one pass over tiles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from curation.neighbors.cosine import HAS_TORCH, check_vectors
from curation.neighbors.pairs import Pairs, rank_of
from curation.neighbors.prefilter import Precision, Prefilter, make_prefilter, rounding
from curation.neighbors.shortlist import Decider, Shortlist
from curation.neighbors.tiles import TileJob, TileRunner, merge, plan_tiles
from medsift.arrays import Doubles, Flags, Floats, Indices, Narrow
from medsift.errors import UsageError
from medsift.storage.scratch import scratch_zeros

PAIR_TILE = 1024
NEIGHBOUR_TILE = 2048
PAIR_LIMIT = 20_000_000
ROWS_DECIDED = 32_768
"""Rows that are decided exactly, or copied, at once."""


@dataclass(frozen=True, slots=True)
class Join:
    """What one pass over n rows finds; fields that were not asked for are None.

    `neighbours` (n, k) are each row's nearest, best first, equal cosines by smaller row, -1
    where there are fewer than k; `similarities` (n, k) their cosines, -inf where there is none.
    `max_earlier` (n,) is the cosine of the nearest row before each row in the given order, or -inf.
    """

    pairs: Pairs | None
    neighbours: Narrow | None
    similarities: Floats | None
    max_earlier: Doubles | None


def pairs_above(
    vectors: Floats,
    threshold: float,
    *,
    tile: int = PAIR_TILE,
    device: str = "auto",
    precision: Precision = "auto",
    limit: int = PAIR_LIMIT,
    run: TileRunner | None = None,
) -> Pairs:
    """Return every pair of unit vectors (n, d) with cosine >= threshold, exactly.

    Each pair is computed once. Memory beyond the vectors and the pairs (24 bytes each) is a few
    tiles of `tile` * `tile` float32 and a narrow copy of the vectors. Zero vectors match
    nothing. `device`, `precision`, `tile` and `run` change the time taken, never the result.

    Args:
        vectors: Unit or zero vectors (n, d), float32.
        threshold: Cosine from which two rows are a pair.
        tile: Rows of a tile.
        device: "auto", "cpu" or a torch CUDA device.
        precision: Of the products that find candidates.
        limit: Most pairs to return.
        run: Spreads the tiles over workers.

    Raises:
        InputError: vectors that are not float32, two-dimensional, finite and unit (or zero).
        UsageError: a threshold outside (-1, 1], a tile below 1, or more than `limit` pairs.
    """
    job, names = _pair_job(vectors, threshold, tile, device, precision, limit)
    pairs, _, _ = merge((run or map)(job, plan_tiles(len(names), tile)), job)
    return pairs.renamed(names)


def iter_pairs(
    vectors: Floats,
    threshold: float,
    *,
    tile: int = PAIR_TILE,
    device: str = "auto",
    fresh: Flags | None = None,
    run: TileRunner | None = None,
) -> Iterator[Pairs]:
    """Yield the pairs of `pairs_above` tile by tile, for when they do not fit in memory.

    Each yield is sorted and holds at most `tile` * `tile` pairs; together they are disjoint.

    Args:
        vectors: Unit or zero vectors (n, d), float32.
        threshold: Cosine from which two rows are a pair.
        tile: Rows of a tile.
        device: "auto", "cpu" or a torch CUDA device.
        fresh: Marks rows (n,): only pairs that have such a row, at the price of those rows.
        run: Spreads the tiles over workers; None is this process.

    Raises:
        InputError: vectors that are not float32, two-dimensional, finite and unit (or zero).
        UsageError: a threshold outside (-1, 1] or a tile below 1.
    """
    job, names = _pair_job(vectors, threshold, tile, device, "auto", tile * tile, fresh)
    old = 0 if fresh is None else int((~fresh[names]).sum())
    tiles = [part for part in plan_tiles(len(names), tile) if part.stop > old]
    for result in (run or map)(job, tiles):
        # The fresh rows come last, and the right row of a pair is the later one.
        pairs = result.pairs.where(result.pairs.right >= old) if old else result.pairs
        if len(pairs):
            yield pairs.renamed(names)


def _pair_job(
    vectors: Floats,
    threshold: float,
    tile: int,
    device: str,
    precision: Precision,
    limit: int,
    fresh: Flags | None = None,
) -> tuple[TileJob, Indices]:
    _check_settings(threshold, tile, None)
    norms = check_vectors(vectors)
    names = np.flatnonzero(norms > 0.0).astype(np.int64)
    if fresh is not None:
        names = np.concatenate([names[~fresh[names]], names[fresh[names]]])
    rows = rows_in_order(vectors, names)
    torch_device = choose_device(device)
    # On a GPU the plain product is exact enough and fast; nothing there is probed.
    if torch_device != "cpu" and precision == "auto":
        precision = "float32"
    prefilter = make_prefilter(rows, norms[names], threshold, precision)
    return TileJob(rows, prefilter, threshold, limit, device=torch_device), names


def rows_in_order(vectors: Floats, names: Indices, scratch: Path | None = None) -> Floats:
    """Return vectors (n, d) in the order of `names`, without a copy where that is their own.

    A large copy is mapped from a file in `scratch`.
    """
    # A copy of a large matrix costs as much memory as the search itself.
    if len(names) == len(vectors) and bool((np.diff(names) == 1).all()):
        return vectors
    rows: Floats = scratch_zeros((len(names), vectors.shape[1]), np.float32, scratch)
    for start in range(0, len(names), ROWS_DECIDED):
        rows[start : start + ROWS_DECIDED] = vectors[names[start : start + ROWS_DECIDED]]
    return rows


def join(
    vectors: Floats,
    *,
    threshold: float | None = None,
    k: int | None = None,
    order: Indices | None = None,
    tile: int = NEIGHBOUR_TILE,
    device: str = "auto",
    limit: int = PAIR_LIMIT,
    run: TileRunner | None = None,
    scratch: Path | None = None,
) -> Join:
    """Return pairs, k nearest neighbours and nearest earlier rows from one matrix product.

    All are decided on exact cosines: they do not depend on tile, device or runner. A zero vector
    has no neighbours and is nobody's. Memory beyond the vectors and the pairs: n * (k + 8)
    candidates and n * k neighbours of 8 bytes each, which lie in files where there is a `scratch`,
    and a few tiles.

    Args:
        vectors: Unit or zero vectors (n, d), float32.
        threshold: Asks for the pairs with at least this cosine.
        k: Asks for this many nearest neighbours of each row.
        order: Rows (n,), best first: asks for the nearest row earlier in it.
        tile: Rows of a tile.
        device: "auto", "cpu" or a torch CUDA device.
        limit: Most pairs to return.
        run: Spreads the tiles over workers.
        scratch: Folder for arrays that are too large for memory; None: all are in memory.

    Raises:
        InputError: vectors that are not float32, two-dimensional, finite and unit (or zero).
        UsageError: nothing asked for, a setting out of range, or more than `limit` pairs.
    """
    if threshold is None and k is None and order is None:
        raise UsageError(
            "join was asked for nothing; pass a threshold, k or an order",
            code="search_setting_invalid",
        )
    _check_settings(threshold, tile, k)
    norms = check_vectors(vectors)
    names = np.arange(len(vectors), dtype=np.int64)
    if order is not None:
        rank_of(len(vectors), order)
        names = order.astype(np.int64)
    # Rows come in the given order, so that "earlier" is "above the diagonal".
    names = names[norms[names] > 0.0]
    rows = rows_in_order(vectors, names, scratch)
    # How far a float32 product of vectors that are nearly unit may be off their cosine.
    deviation = float(np.abs(norms[names] - 1.0).max(initial=0.0))
    margin = rounding(rows.shape[1]) * (1.0 + deviation) ** 2
    margin += 2.0 * deviation + deviation**2 + 1e-9
    prefilter = Prefilter(rows, margin, "float32")
    job = TileJob(rows, prefilter, threshold, limit, k, order is not None, choose_device(device))
    tiles = plan_tiles(len(names), tile)
    pairs, nearest, earlier = merge((run or map)(job, tiles), job, scratch)
    n, neighbours, cosines, highest = len(vectors), None, None, None
    if nearest is not None and k is not None:
        neighbours = scratch_zeros((n, k), np.int32, scratch)
        cosines = scratch_zeros((n, k), np.float32, scratch)
        neighbours[:], cosines[:] = -1, -np.inf
        for part, index, exact in _decided(job, nearest, k, names, earlier=False):
            neighbours[part], cosines[part] = index, exact
    if earlier is not None:
        highest = np.full(n, -np.inf)
        for part, _, exact in _decided(job, earlier, 1, names, earlier=True):
            highest[part] = exact[:, 0]
    return Join(None if threshold is None else pairs.renamed(names), neighbours, cosines, highest)


def _decided(
    job: TileJob, shortlist: Shortlist, k: int, names: Indices, *, earlier: bool
) -> Iterator[tuple[Indices, Indices, Doubles]]:
    """Decide a shortlist some rows at a time.

    Yields the names of the rows (m,), those of their nearest (m, k), and the cosines (m, k).
    """
    decider = Decider(job.vectors, job.error, names, earlier=earlier)
    for start in range(0, len(names), ROWS_DECIDED):
        rows = slice(start, start + ROWS_DECIDED)
        index, exact = decider.decide(shortlist.take(rows), start, k)
        yield names[rows], np.where(index < 0, -1, names[index]), exact


def _check_settings(threshold: float | None, tile: int, k: int | None) -> None:
    if threshold is not None and not -1.0 < threshold <= 1.0:
        problem = f"threshold is {threshold}; a cosine threshold is in (-1, 1]"
    elif tile < 1:
        problem = f"tile is {tile}; pass the rows of a tile, at least 1"
    elif k is not None and k < 1:
        problem = f"k is {k}; pass the number of neighbours, at least 1"
    else:
        return
    raise UsageError(problem, code="search_setting_invalid")


def choose_device(device: str) -> str:
    """Return the torch device to use; 'auto' is a GPU where there is one that torch can use.

    Where torch is not installed, the CPU is left, on which the probe needs NumPy alone.

    Raises:
        UsageError: a CUDA device where torch sees none.
    """
    present = False
    if HAS_TORCH:
        import torch

        present = torch.cuda.is_available()
    if device == "auto":
        return "cuda" if present else "cpu"
    if device.startswith("cuda") and not present:
        raise UsageError(
            f"device is {device!r} but torch sees no GPU; pass 'auto' or 'cpu'", code="gpu_missing"
        )
    return device
