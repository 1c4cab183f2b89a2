"""Search exactly up to a configured size, and approximately with the recall measured past it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from curation.neighbors.config import Method, NeighborsConfig
from curation.neighbors.cosine import check_vectors, exact_cosine, tensor_of
from curation.neighbors.join import choose_device, pairs_above, rows_in_order
from curation.neighbors.kmeans import gpus_of_faiss
from curation.neighbors.pairs import Pairs, join_pairs
from curation.neighbors.prefilter import rounding
from curation.neighbors.tiles import TileRunner, check_limit
from medsift.arrays import Floats, Indices
from medsift.errors import UsageError

logger = logging.getLogger(__name__)

_QUERIES = 4096
_NEAREST_QUERIES = 16_384
_TRAINING_ROWS_PER_LIST = 64
_SAMPLE_ROWS = 256
_SAME = 1e-5  # cosines this near are equal: FAISS and torch round differently


@dataclass(frozen=True, slots=True)
class PairSearch:
    """Similar pairs, how they were searched, and the share of all such pairs among them."""

    pairs: Pairs
    method: Method
    recall: float


def find_pairs(
    vectors: Floats, threshold: float, config: NeighborsConfig, run: TileRunner | None = None
) -> PairSearch:
    """Return the pairs of rows whose cosine reaches a threshold.

    Exact, with recall 1.0, up to `config.exact_up_to` rows; past it by FAISS with the recall
    measured.

    Args:
        vectors: Unit or zero vectors (n, d), float32.
        threshold: Cosine from which two rows are a pair.
        config: How pairs are searched, and how many are kept at most.
        run: Spreads the tiles of an exact search over workers; None is this process.

    Raises:
        InputError: vectors that are not float32, two-dimensional, finite and unit (or zero).
        UsageError: a threshold out of range, or more than `config.max_pairs` pairs.
    """
    # Exact time grows with the square of the rows: past the limit, most pairs in reasonable time.
    tile, device, limit = config.tile, config.device, config.max_pairs
    if len(vectors) <= config.exact_up_to:
        every = pairs_above(vectors, threshold, tile=tile, device=device, limit=limit, run=run)
        return PairSearch(every, "exact", 1.0)
    search = CellSearch(vectors, threshold, config)
    parts, count = [], 0
    for pairs in search:
        parts.append(pairs)
        count += len(pairs)
        check_limit(count, limit, threshold)
    logger.info("%d rows searched by cells, recall %.4f", len(vectors), search.recall)
    return PairSearch(join_pairs(parts), "ivf", search.recall)


class CellSearch:
    """Most pairs of unit vectors (n, d) with cosine >= threshold, in disjoint blocks.

    Every pair is exact. Once all blocks have been taken, `recall` is the share of the pairs of some
    rows, searched exactly, that were found (1.0 if they have no pair).

    Raises:
        InputError: vectors that are not float32, two-dimensional, finite and unit (or zero).
        UsageError: a threshold outside (0, 1].
    """

    def __init__(self, vectors: Floats, threshold: float, config: NeighborsConfig) -> None:
        if not 0.0 < threshold <= 1.0:
            raise UsageError(
                f"threshold is {threshold}; approximate search takes one in (0, 1]",
                code="search_setting_invalid",
            )
        norms = check_vectors(vectors)
        self.names = np.flatnonzero(norms > 0.0).astype(np.int64)
        self.rows = rows_in_order(vectors, self.names)
        # Products are float32: below this bar no exact cosine reaches the threshold.
        deviation = float(np.abs(norms[self.names] - 1.0).max(initial=0.0))
        self.threshold, self.config, self.recall = threshold, config, 1.0
        self.bar = threshold - 2.0 * deviation - deviation**2 - 1e-6
        self.bar -= 2.0 * rounding(vectors.shape[1])

    def __iter__(self) -> Iterator[Pairs]:
        """Search; each block holds the pairs of some rows that no block before it has."""
        if len(self.rows) < 2:
            return
        index = _build_index(self.rows, self.config, choose_device(self.config.device))
        wanted = _wanted(self.rows, self.threshold, self.bar, self.config)
        hits, n = 0, len(self.rows)
        for pairs in _search(index, self.rows, self.threshold, self.bar):
            hits += int(np.isin(pairs.left * n + pairs.right, wanted).sum())
            yield pairs.renamed(self.names)
        self.recall = hits / len(wanted) if len(wanted) else 1.0


def _build_index(rows: Floats, config: NeighborsConfig, device: str) -> Any:
    """Return an inverted file on the CPU over unit vectors (n, d)."""
    import faiss

    width = rows.shape[1]
    nlist = min(len(rows), config.nlist or int(4 * len(rows) ** 0.5))
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(width), width, nlist, faiss.METRIC_INNER_PRODUCT)
    # FAISS warns below 39 rows a cell; few rows make poor cells, which the measured recall shows.
    index.cp.seed, index.cp.min_points_per_centroid = config.seed, 1
    index.cp.max_points_per_centroid = _TRAINING_ROWS_PER_LIST
    if gpus_of_faiss(device):
        # Range search over an inverted file exists on the CPU only: the GPU finds the cells.
        index.clustering_index = faiss.index_cpu_to_all_gpus(faiss.IndexFlatIP(width))
    index.train(np.ascontiguousarray(rows))
    index.add(np.ascontiguousarray(rows))
    index.nprobe = min(config.nprobe, nlist)
    return index


def _search(index: Any, rows: Floats, threshold: float, bar: float) -> Iterator[Pairs]:
    blocks = range(0, len(rows), _QUERIES)
    # Quantized in the blocks of the search, so that both see the same cells.
    probes, home = (
        np.concatenate([_cells(index, rows[start : start + _QUERIES], count) for start in blocks])
        for count in (index.nprobe, 1)
    )
    for start in blocks:
        block = np.ascontiguousarray(rows[start : start + _QUERIES])
        limits, _, matches = index.range_search(block, bar)
        query = np.repeat(np.arange(start, start + len(block)), np.diff(limits.astype(np.int64)))
        other = matches.astype(np.int64)
        # A pair is met from either side, and from one side only where the probes differ: the
        # later row gives it where the earlier one does not look into its cell.
        new = query < other
        back = np.flatnonzero(query > other)
        unseen = ~(probes[other[back]] == home[query[back]]).any(1)
        new[back[unseen]] = True
        left, right = np.minimum(query, other)[new], np.maximum(query, other)[new]
        similarity = exact_cosine(rows, left, right)
        above = similarity >= threshold
        yield Pairs.of(left[above], right[above], similarity[above])


def _cells(index: Any, rows: Floats, count: int) -> Indices:
    _, cells = index.quantizer.search(np.ascontiguousarray(rows), count)
    return np.asarray(cells, np.int64)


def _draw(count: int, config: NeighborsConfig) -> Indices:
    """Draw the rows (s,) of `count` on which the recall is measured."""
    size = min(config.recall_sample, count)
    drawn = np.random.default_rng(config.seed).choice(count, size, replace=False)
    return np.sort(drawn).astype(np.int64)


def _wanted(rows: Floats, threshold: float, bar: float, config: NeighborsConfig) -> Indices:
    """Return the keys of all pairs of a drawn sample of rows, searched exactly."""
    drawn = _draw(len(rows), config)
    keys = []
    for start in range(0, len(drawn), _SAMPLE_ROWS):
        some = drawn[start : start + _SAMPLE_ROWS]
        row, other = (tensor_of(rows[some]) @ tensor_of(rows).T >= bar).nonzero().numpy().T
        left, right = np.minimum(some[row], other), np.maximum(some[row], other)
        above = (left < right) & (exact_cosine(rows, left, right) >= threshold)
        keys.append(left[above] * len(rows) + right[above])
    return np.unique(np.concatenate(keys))


@dataclass(frozen=True, slots=True)
class Nearest:
    """Each of n rows' k nearest others, best first: `index` (n, k), -1 where there are fewer.

    `similarity` (n, k) are their cosines in float32, -inf there; `recall` is the share of true
    neighbours among them, on a sample of rows.
    """

    index: Indices
    similarity: Floats
    recall: float


def approximate_nearest(vectors: Floats, k: int, config: NeighborsConfig) -> Nearest:
    """Return most of the `k` nearest others of each of the unit vectors (n, d).

    Equal cosines are ordered by row. A zero vector has no neighbours and is nobody's.

    Raises:
        InputError: vectors that are not float32, two-dimensional, finite and unit (or zero).
        UsageError: k below 1.
    """
    if k < 1:
        raise UsageError(
            f"k is {k}; pass the number of neighbours, at least 1", code="search_setting_invalid"
        )
    names = np.flatnonzero(check_vectors(vectors) > 0.0).astype(np.int64)
    rows = rows_in_order(vectors, names)
    index = np.full((len(vectors), k), -1, dtype=np.int64)
    similarity = np.full((len(vectors), k), -np.inf, dtype=np.float32)
    if len(rows) < 2:
        return Nearest(index, similarity, 1.0)
    cells = _build_index(rows, config, config.device)
    if gpus_of_faiss(config.device):
        import faiss

        cells = faiss.index_cpu_to_all_gpus(cells)
    for start in range(0, len(rows), _NEAREST_QUERIES):
        block = np.arange(start, min(start + _NEAREST_QUERIES, len(rows)))
        value, other = cells.search(np.ascontiguousarray(rows[block]), k + 1)
        other = np.where(other == block[:, None], -1, other)
        value = np.where(other < 0, -np.inf, np.clip(value, -1.0, 1.0))
        # The row itself goes last; where copies of it crowded it out, the worst of them does.
        order = np.lexsort((other, -value))[:, :k]
        nearest = np.take_along_axis(other, order, axis=1)
        index[names[block]] = np.where(nearest < 0, -1, names[nearest])
        similarity[names[block]] = np.take_along_axis(value, order, axis=1)
    return Nearest(index, similarity, _recall(rows, similarity[names], config))


def _recall(rows: Floats, cosine: Floats, config: NeighborsConfig) -> float:
    """Return the share of the true neighbours of some rows among those found."""
    n, k = len(rows), min(cosine.shape[1], len(rows) - 1)
    drawn = _draw(n, config)
    hits, wanted = 0, k * len(drawn)
    for start in range(0, len(drawn), _SAMPLE_ROWS):
        some = drawn[start : start + _SAMPLE_ROWS]
        product = tensor_of(rows[some]) @ tensor_of(rows).T
        product[np.arange(len(some)), some] = -np.inf
        least = product.topk(k, dim=1).values[:, -1:].numpy()
        # A neighbour counts by its cosine: of equal ones, either is true.
        hits += int(np.minimum((cosine[some] >= least - _SAME).sum(axis=1), k).sum())
    return float(hits / wanted)
