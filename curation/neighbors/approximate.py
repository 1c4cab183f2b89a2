"""Find similar pairs past the size where exact search pays, and measure the recall."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from curation.neighbors.cosine import check_vectors, exact_cosine, tensor_of
from curation.neighbors.join import PAIR_LIMIT
from curation.neighbors.kmeans import gpus_of_faiss
from curation.neighbors.pairs import Pairs, join_pairs
from curation.neighbors.prefilter import rounding
from curation.neighbors.tiles import check_limit
from medsift.arrays import Floats, Indices
from medsift.errors import UsageError

_QUERIES = 4096
_TRAINING_ROWS_PER_LIST = 64
_SAMPLE_ROWS = 256


def approximate_pairs(
    vectors: Floats,
    threshold: float,
    *,
    nlist: int | None = None,
    nprobe: int = 32,
    seed: int = 0,
    sample: int = 1000,
    device: str = "auto",
    limit: int = PAIR_LIMIT,
) -> tuple[Pairs, float]:
    """Return most pairs of unit vectors (n, d) with cosine >= threshold, and their recall.

    Every pair returned is exact; the recall is the share of the pairs of some rows, searched
    exactly, that were found (1.0 if they have no pair).

    Args:
        vectors: Unit or zero vectors (n, d), float32.
        threshold: Cosine from which two rows are a pair.
        nlist: Cells of the inverted file; about 4 * sqrt(n) by default.
        nprobe: Cells searched for each row.
        seed: Of the cells and of the rows that the recall is measured on.
        sample: How many rows the recall is measured on.
        device: "auto", "cpu" or a torch CUDA device.
        limit: Most pairs to return.

    Raises:
        InputError: vectors that are not float32, two-dimensional, finite and unit (or zero).
        UsageError: a setting out of range, or more than `limit` pairs.
    """
    search = CellSearch(vectors, threshold, nlist, nprobe, seed, sample, device)
    parts, count = [], 0
    for pairs in search:
        parts.append(pairs)
        count += len(pairs)
        check_limit(count, limit, threshold)
    return join_pairs(parts), search.recall


class CellSearch:
    """Pairs of `approximate_pairs` block by block, for when they do not fit in memory.

    `recall` is known once all blocks have been taken. Blocks are disjoint.
    """

    def __init__(
        self,
        vectors: Floats,
        threshold: float,
        nlist: int | None,
        nprobe: int,
        seed: int,
        sample: int,
        device: str,
    ) -> None:
        if not 0.0 < threshold <= 1.0 or min(nprobe, sample, 1 if nlist is None else nlist) < 1:
            raise UsageError(
                f"threshold {threshold}, nlist {nlist}, nprobe {nprobe}, sample {sample}: "
                "approximate search takes a threshold in (0, 1], and at least 1 of the others",
                code="search_setting_invalid",
            )
        norms = check_vectors(vectors)
        self.names = np.flatnonzero(norms > 0.0).astype(np.int64)
        full = len(self.names) == len(vectors)
        self.rows = vectors if full else np.ascontiguousarray(vectors[self.names])
        # Products are float32: below this bar no exact cosine reaches the threshold.
        deviation = float(np.abs(norms[self.names] - 1.0).max(initial=0.0))
        self.threshold, self.seed, self.sample, self.device = threshold, seed, sample, device
        self.bar = threshold - 2.0 * deviation - deviation**2 - 1e-6
        self.bar -= 2.0 * rounding(vectors.shape[1])
        self.cells = min(len(self.rows), nlist or int(4 * len(self.rows) ** 0.5))
        self.nprobe = min(nprobe, self.cells)
        self.recall = 1.0

    def __iter__(self) -> Iterator[Pairs]:
        """Search; each block holds the pairs of some rows that no block before it has."""
        if len(self.rows) < 2:
            return
        index = build_index(self.rows, self.cells, self.nprobe, self.seed, self.device)
        wanted = _wanted(self.rows, self.threshold, self.bar, self.seed, self.sample)
        hits, n = 0, len(self.rows)
        for pairs in _search(index, self.rows, self.threshold, self.bar):
            hits += int(np.isin(pairs.left * n + pairs.right, wanted).sum())
            yield pairs.renamed(self.names)
        self.recall = hits / len(wanted) if len(wanted) else 1.0


def build_index(rows: Floats, nlist: int, nprobe: int, seed: int, device: str) -> Any:
    """Return an inverted file on the CPU over unit vectors (n, d); it searches `nprobe` cells."""
    import faiss

    width = rows.shape[1]
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(width), width, nlist, faiss.METRIC_INNER_PRODUCT)
    # FAISS warns below 39 rows a cell; few rows make poor cells, which the measured recall shows.
    index.cp.seed, index.cp.min_points_per_centroid = seed, 1
    index.cp.max_points_per_centroid = _TRAINING_ROWS_PER_LIST
    if gpus_of_faiss(device):
        # Range search over an inverted file exists on the CPU only: the GPU finds the cells.
        index.clustering_index = faiss.index_cpu_to_all_gpus(faiss.IndexFlatIP(width))
    index.train(np.ascontiguousarray(rows))
    index.add(np.ascontiguousarray(rows))
    index.nprobe = nprobe
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


def _wanted(rows: Floats, threshold: float, bar: float, seed: int, sample: int) -> Indices:
    """Return the keys of all pairs of a drawn sample of rows, searched exactly."""
    drawn = np.random.default_rng(seed).choice(len(rows), min(sample, len(rows)), replace=False)
    drawn.sort()
    keys = []
    for start in range(0, len(drawn), _SAMPLE_ROWS):
        some = drawn[start : start + _SAMPLE_ROWS]
        row, other = (tensor_of(rows[some]) @ tensor_of(rows).T >= bar).nonzero().numpy().T
        left, right = np.minimum(some[row], other), np.maximum(some[row], other)
        above = (left < right) & (exact_cosine(rows, left, right) >= threshold)
        keys.append(left[above] * len(rows) + right[above])
    return np.unique(np.concatenate(keys))
