"""All similar pairs, nearest neighbours and nearest earlier rows in one pass over tiles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from curation.neighbors.cosine import check_vectors
from curation.neighbors.pairs import Pairs, rank_of
from curation.neighbors.prefilter import Precision, Prefilter, make_prefilter
from curation.neighbors.shortlist import Shortlist, decide
from curation.neighbors.tiles import TileJob, TileRunner, merge, plan_tiles, run_here
from medsift.arrays import Doubles, Floats, Indices
from medsift.errors import UsageError

PAIR_TILE = 1024
NEIGHBOUR_TILE = 2048
PAIR_LIMIT = 20_000_000


@dataclass(frozen=True, slots=True)
class Join:
    """What one pass over n rows found; fields that were not asked for are None.

    `neighbours` (n, k) are each row's nearest, best first, equal cosines by smaller row, -1
    where there are fewer than k; `similarities` (n, k) their cosines, -inf where there is none.
    `nearest_earlier` (n,) is the nearest row before each row in the given order, or -1, and
    `max_earlier` (n,) its cosine, or -inf.
    """

    pairs: Pairs | None
    neighbours: Indices | None
    similarities: Floats | None
    nearest_earlier: Indices | None
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

    Raises:
        InputError: vectors that are not float32, two-dimensional, finite and unit (or zero).
        UsageError: a threshold outside (-1, 1], a tile below 1, or more than `limit` pairs.
    """
    job, names = _pair_job(vectors, threshold, tile, device, precision, limit)
    merged = merge((run or run_here)(job, plan_tiles(len(names), tile)), job)
    return merged.pairs.renamed(names)


def iter_pairs(
    vectors: Floats,
    threshold: float,
    *,
    tile: int = PAIR_TILE,
    device: str = "auto",
    precision: Precision = "auto",
    run: TileRunner | None = None,
) -> Iterator[Pairs]:
    """Yield the pairs of `pairs_above` tile by tile, for when they do not fit in memory.

    `run` may spread the tiles over workers. Each yield is sorted and holds at most `tile` * `tile`
    pairs; together they are disjoint.

    Raises:
        InputError: vectors that are not float32, two-dimensional, finite and unit (or zero).
        UsageError: a threshold outside (-1, 1] or a tile below 1.
    """
    job, names = _pair_job(vectors, threshold, tile, device, precision, tile * tile)
    for result in (run or map)(job, plan_tiles(len(names), tile)):
        if len(result.pairs):
            yield result.pairs.renamed(names)


def _pair_job(
    vectors: Floats, threshold: float, tile: int, device: str, precision: Precision, limit: int
) -> tuple[TileJob, Indices]:
    _check_settings(threshold, tile, None)
    norms = check_vectors(vectors)
    names = np.flatnonzero(norms > 0.0).astype(np.int64)
    rows, norms = _in_order(vectors, names), norms[names]
    where = choose_device(device)
    # On a GPU the plain product is exact enough and fast; nothing there is probed.
    settled: Precision = "float32" if where != "cpu" and precision == "auto" else precision
    job = TileJob(rows, make_prefilter(rows, norms, threshold, settled), threshold, limit)
    return replace(job, device=where), names


def _in_order(vectors: Floats, names: Indices) -> Floats:
    same = len(names) == len(vectors) and bool((np.diff(names) == 1).all())
    return vectors if same else vectors[names]


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
) -> Join:
    """Return pairs, k nearest neighbours and nearest earlier rows from one matrix product.

    `threshold` asks for pairs, `k` for neighbours, `order` (n,), best row first, for
    the nearest row earlier in it. All are decided on exact cosines: they do not depend on tile,
    device or runner. A zero vector has no neighbours and is nobody's. Memory beyond the vectors
    and the pairs: n * (k + 8) candidates of 12 bytes, and a few tiles.

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
    job, names = _join_job(vectors, threshold, k, order, device, limit)
    merged = merge((run or run_here)(job, plan_tiles(len(names), tile)), job)
    neighbours, cosines = _nearest(job, merged.nearest, k, names, len(vectors), earlier=False)
    before, highest = _nearest(job, merged.earlier, 1, names, len(vectors), earlier=True)
    return Join(
        None if threshold is None else merged.pairs.renamed(names),
        neighbours,
        None if cosines is None else cosines.astype(np.float32),
        None if before is None else before[:, 0],
        None if highest is None else highest[:, 0],
    )


def _join_job(
    vectors: Floats,
    threshold: float | None,
    k: int | None,
    order: Indices | None,
    device: str,
    limit: int,
) -> tuple[TileJob, Indices]:
    norms = check_vectors(vectors)
    names = np.arange(len(vectors), dtype=np.int64)
    if order is not None:
        rank_of(len(vectors), order)
        names = order.astype(np.int64)
    # Rows stand in the given order, so that "earlier" is "above the diagonal".
    names = names[norms[names] > 0.0]
    deviation = float(np.abs(norms[names] - 1.0).max(initial=0.0))
    rows = _in_order(vectors, names)
    plain = Prefilter(rows, _plain_margin(rows.shape[1], deviation), "float32")
    where = choose_device(device)
    return TileJob(rows, plain, threshold, limit, k, order is not None, where), names


def _plain_margin(width: int, deviation: float) -> float:
    from curation.neighbors.prefilter import rounding

    return rounding(width) * (1.0 + deviation) ** 2 + 2.0 * deviation + deviation**2 + 1e-9


def _nearest(
    job: TileJob,
    shortlist: Shortlist | None,
    k: int | None,
    names: Indices,
    n: int,
    *,
    earlier: bool,
) -> tuple[Indices | None, Doubles | None]:
    """Decide the shortlist and give the rows back their names."""
    if shortlist is None or k is None:
        return None, None
    found, cosine = np.full((n, k), -1, dtype=np.int64), np.full((n, k), -np.inf)
    if len(names):
        index, exact = decide(job.vectors, shortlist, k, job.error, names, earlier=earlier)
        found[names] = np.where(index < 0, -1, names[index])
        cosine[names] = exact
    return found, cosine


def _check_settings(threshold: float | None, tile: int, k: int | None) -> None:
    if threshold is not None and not -1.0 < threshold <= 1.0:
        raise UsageError(
            f"threshold is {threshold}; a cosine threshold lies in (-1, 1]",
            code="search_setting_invalid",
        )
    if tile < 1:
        raise UsageError(
            f"tile is {tile}; pass the rows of a tile, at least 1", code="search_setting_invalid"
        )
    if k is not None and k < 1:
        raise UsageError(
            f"k is {k}; pass the number of neighbours, at least 1", code="search_setting_invalid"
        )


def choose_device(device: str) -> str:
    """Return the torch device to use; 'auto' is a GPU where there is one.

    Raises:
        UsageError: a CUDA device where torch sees none.
    """
    import torch

    present = torch.cuda.is_available()
    if device == "auto":
        return "cuda" if present else "cpu"
    if device.startswith("cuda") and not present:
        raise UsageError(
            f"device is {device!r} but torch sees no GPU; pass 'auto' or 'cpu'", code="gpu_missing"
        )
    return device
