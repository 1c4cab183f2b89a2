"""Search pairs exactly up to a configured size, and past it by cells, with the recall measured."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from curation.neighbors.cells import build_index, draw_rows
from curation.neighbors.config import Method, NeighborsConfig
from curation.neighbors.cosine import check_vectors, exact_cosine, tensor_of
from curation.neighbors.join import choose_device, pairs_above, rows_in_order
from curation.neighbors.pairs import Pairs, join_pairs
from curation.neighbors.prefilter import rounding
from curation.neighbors.tiles import TileRunner, check_limit
from medsift.arrays import Floats, Indices
from medsift.errors import UsageError

logger = logging.getLogger(__name__)

_QUERIES = 4096
_SAMPLE_ROWS = 256


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
        index = build_index(self.rows, self.config, choose_device(self.config.device))
        wanted = _wanted(self.rows, self.threshold, self.bar, self.config)
        hits, n = 0, len(self.rows)
        for pairs in _search(index, self.rows, self.threshold, self.bar):
            hits += int(np.isin(pairs.left * n + pairs.right, wanted).sum())
            yield pairs.renamed(self.names)
        self.recall = hits / len(wanted) if len(wanted) else 1.0


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


def _wanted(rows: Floats, threshold: float, bar: float, config: NeighborsConfig) -> Indices:
    """Return the keys of all pairs of a drawn sample of rows, searched exactly."""
    drawn = draw_rows(len(rows), config)
    keys = []
    for start in range(0, len(drawn), _SAMPLE_ROWS):
        some = drawn[start : start + _SAMPLE_ROWS]
        row, other = (tensor_of(rows[some]) @ tensor_of(rows).T >= bar).nonzero().numpy().T
        left, right = np.minimum(some[row], other), np.maximum(some[row], other)
        above = (left < right) & (exact_cosine(rows, left, right) >= threshold)
        keys.append(left[above] * len(rows) + right[above])
    return np.unique(np.concatenate(keys))
