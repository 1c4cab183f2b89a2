"""Similar pairs past the size where exact search pays, with the recall measured."""

from __future__ import annotations

from typing import Any

import numpy as np

from curation.errors import UsageError
from curation.neighbors.cosine import Floats, Indices, check_vectors, exact_cosine, tensor_of
from curation.neighbors.join import PAIR_LIMIT
from curation.neighbors.kmeans import gpus_of_faiss
from curation.neighbors.pairs import Pairs
from curation.neighbors.prefilter import rounding
from curation.neighbors.tiles import check_limit

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
    if not 0.0 < threshold <= 1.0:
        raise UsageError(f"threshold is {threshold}; approximate search takes (0, 1]")
    if nprobe < 1 or sample < 1 or (nlist is not None and nlist < 1):
        raise UsageError(f"nlist {nlist}, nprobe {nprobe}, sample {sample}: each is at least 1")
    norms = check_vectors(vectors)
    names = np.flatnonzero(norms > 0.0).astype(np.int64)
    rows = vectors if len(names) == len(vectors) else np.ascontiguousarray(vectors[names])
    if len(rows) < 2:
        return Pairs.empty(), 1.0
    deviation = float(np.abs(norms[names] - 1.0).max())
    bar = threshold - 2.0 * deviation - deviation**2 - 2.0 * rounding(rows.shape[1]) - 1e-6
    cells = min(len(rows), nlist or int(4 * len(rows) ** 0.5))
    index = build_index(rows, cells, min(nprobe, cells), seed, device)
    pairs = _search(index, rows, threshold, bar, limit)
    return pairs.renamed(names), _recall(rows, pairs, threshold, bar, seed, sample)


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


def _search(index: Any, rows: Floats, threshold: float, bar: float, limit: int) -> Pairs:
    keys = np.empty(0, dtype=np.int64)
    n = len(rows)
    for start in range(0, n, _QUERIES):
        block = np.ascontiguousarray(rows[start : start + _QUERIES])
        limits, _, found = index.range_search(block, bar)
        query = np.repeat(np.arange(start, start + len(block)), np.diff(limits.astype(np.int64)))
        unequal = query != found
        one, other = query[unequal], found[unequal].astype(np.int64)
        # Each pair is met from either side, and from one side only where the probes differ.
        key = np.minimum(one, other) * n + np.maximum(one, other)
        keys = np.union1d(keys, key)
        check_limit(len(keys), limit, threshold)
    left, right = keys // n, keys % n
    similarity = exact_cosine(rows, left, right)
    return Pairs(left, right, similarity).where(similarity >= threshold)


def _recall(
    rows: Floats, pairs: Pairs, threshold: float, bar: float, seed: int, sample: int
) -> float:
    n = len(rows)
    drawn = np.random.default_rng(seed).choice(n, size=min(sample, n), replace=False)
    truth = [
        _true_keys(rows, np.sort(drawn)[start : start + _SAMPLE_ROWS], threshold, bar)
        for start in range(0, len(drawn), _SAMPLE_ROWS)
    ]
    wanted = np.unique(np.concatenate(truth))
    if not len(wanted):
        return 1.0
    return float(np.isin(wanted, pairs.left * n + pairs.right).mean())


def _true_keys(rows: Floats, drawn: Indices, threshold: float, bar: float) -> Indices:
    product = tensor_of(rows[drawn]) @ tensor_of(rows).T
    place = (product >= bar).nonzero().numpy()
    one, other = drawn[place[:, 0]], place[:, 1]
    left, right = np.minimum(one, other), np.maximum(one, other)
    above = (left < right) & (exact_cosine(rows, left, right) >= threshold)
    keys: Indices = left[above] * len(rows) + right[above]
    return keys
