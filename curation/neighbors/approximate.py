"""Similar pairs past the size where exact search pays, with the recall measured."""

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

    An inverted file of `nlist` cells (about 4 * sqrt(n) by default), `nprobe` of them searched
    for each row. Every pair returned is exact; the recall is the share of the pairs of `sample`
    rows, drawn by `seed` and searched exactly, that were found (1.0 if they have no pair).

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
        if not 0.0 < threshold <= 1.0:
            raise UsageError(
                f"threshold is {threshold}; approximate search takes (0, 1]",
                code="search_setting_invalid",
            )
        if nprobe < 1 or sample < 1 or (nlist is not None and nlist < 1):
            raise UsageError(
                f"nlist {nlist}, nprobe {nprobe}, sample {sample}: each is at least 1",
                code="search_setting_invalid",
            )
        norms = check_vectors(vectors)
        self.names = np.flatnonzero(norms > 0.0).astype(np.int64)
        full = len(self.names) == len(vectors)
        self.rows = vectors if full else np.ascontiguousarray(vectors[self.names])
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
        found, n = 0, len(self.rows)
        for pairs in _search(index, self.rows, self.threshold, self.bar):
            found += int(np.isin(pairs.left * n + pairs.right, wanted).sum())
            yield pairs.renamed(self.names)
        self.recall = found / len(wanted) if len(wanted) else 1.0


def build_index(rows: Floats, nlist: int, nprobe: int, seed: int, device: str) -> Any:
    """Return an inverted file on the CPU over unit vectors (n, d); it searches `nprobe` cells."""
    import faiss

    width = rows.shape[1]
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(width), width, nlist, faiss.METRIC_INNER_PRODUCT)
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
    probes = np.concatenate(
        [_cells(index, rows[start : start + _QUERIES], index.nprobe) for start in blocks]
    )
    home = np.concatenate([_cells(index, rows[start : start + _QUERIES], 1) for start in blocks])
    for start in blocks:
        block = np.ascontiguousarray(rows[start : start + _QUERIES])
        limits, _, found = index.range_search(block, bar)
        query = np.repeat(np.arange(start, start + len(block)), np.diff(limits.astype(np.int64)))
        other = found.astype(np.int64)
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
    found: Indices = cells.astype(np.int64)
    return found


def _wanted(rows: Floats, threshold: float, bar: float, seed: int, sample: int) -> Indices:
    """Keys of all pairs of rows that are drawn, searched exactly."""
    drawn = np.random.default_rng(seed).choice(len(rows), min(sample, len(rows)), replace=False)
    truth = [
        _true_keys(rows, np.sort(drawn)[start : start + _SAMPLE_ROWS], threshold, bar)
        for start in range(0, len(drawn), _SAMPLE_ROWS)
    ]
    found: Indices = np.unique(np.concatenate(truth))
    return found


def _true_keys(rows: Floats, drawn: Indices, threshold: float, bar: float) -> Indices:
    product = tensor_of(rows[drawn]) @ tensor_of(rows).T
    place = (product >= bar).nonzero().numpy()
    one, other = drawn[place[:, 0]], place[:, 1]
    left, right = np.minimum(one, other), np.maximum(one, other)
    above = (left < right) & (exact_cosine(rows, left, right) >= threshold)
    keys: Indices = left[above] * len(rows) + right[above]
    return keys
