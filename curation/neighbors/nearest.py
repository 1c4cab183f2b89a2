"""Find nearest neighbours past the size where exact search pays, and measure the recall."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from curation.neighbors.approximate import build_index
from curation.neighbors.cosine import check_vectors, tensor_of
from curation.neighbors.kmeans import gpus_of_faiss
from medsift.arrays import Floats, Indices
from medsift.errors import UsageError

_QUERIES = 16_384
_SAMPLE_ROWS = 256
_SAME = 1e-5  # cosines this near are equal: FAISS and torch round differently


@dataclass(frozen=True, slots=True)
class Nearest:
    """Each of n rows' k nearest others, best first: `index` (n, k), -1 where there are fewer.

    `similarity` (n, k) are their cosines in float32, -inf there; `recall` is the share of true
    neighbours among them, on a sample of rows.
    """

    index: Indices
    similarity: Floats
    recall: float


def approximate_nearest(
    vectors: Floats,
    k: int,
    *,
    nlist: int | None = None,
    nprobe: int = 32,
    seed: int = 0,
    sample: int = 1000,
    device: str = "auto",
) -> Nearest:
    """Return most of the k nearest others of each of the unit vectors (n, d).

    Equal cosines are ordered by row. A zero vector has no neighbours and is nobody's.

    Args:
        vectors: Unit or zero vectors (n, d), float32.
        k: How many neighbours of each row.
        nlist: Cells of the inverted file; about 4 * sqrt(n) by default.
        nprobe: Cells searched for each row.
        seed: Of the cells and of the rows that the recall is measured on.
        sample: How many rows are searched exactly as well, to measure the recall.
        device: "auto", "cpu" or a torch CUDA device.

    Raises:
        InputError: vectors that are not float32, two-dimensional, finite and unit (or zero).
        UsageError: a setting out of range.
    """
    if min(k, nprobe, sample, nlist or 1) < 1:
        raise UsageError(
            f"k {k}, nlist {nlist}, nprobe {nprobe}, sample {sample}: each is at least 1",
            code="search_setting_invalid",
        )
    names = np.flatnonzero(check_vectors(vectors) > 0.0).astype(np.int64)
    rows = vectors if len(names) == len(vectors) else np.ascontiguousarray(vectors[names])
    index = np.full((len(vectors), k), -1, dtype=np.int64)
    similarity = np.full((len(vectors), k), -np.inf, dtype=np.float32)
    if len(rows) < 2:
        return Nearest(index, similarity, 1.0)
    cells = min(len(rows), nlist or int(4 * len(rows) ** 0.5))
    nearest, cosine = _search(rows, k, cells, min(nprobe, cells), seed, device)
    index[names] = np.where(nearest < 0, -1, names[nearest])
    similarity[names] = cosine
    return Nearest(index, similarity, _recall(rows, cosine, seed, sample))


def _search(
    rows: Floats, k: int, cells: int, nprobe: int, seed: int, device: str
) -> tuple[Indices, Floats]:
    import faiss

    index = build_index(rows, cells, nprobe, seed, device)
    if gpus_of_faiss(device):
        index = faiss.index_cpu_to_all_gpus(index)
    nearest = np.full((len(rows), k), -1, dtype=np.int64)
    cosine = np.full((len(rows), k), -np.inf, dtype=np.float32)
    for start in range(0, len(rows), _QUERIES):
        block = np.arange(start, min(start + _QUERIES, len(rows)))
        value, other = index.search(np.ascontiguousarray(rows[block]), k + 1)
        other = np.where(other == block[:, None], -1, other)
        value = np.where(other < 0, -np.inf, np.clip(value, -1.0, 1.0))
        # The row itself goes last; where copies of it crowded it out, the worst of them does.
        order = np.lexsort((other, -value))[:, :k]
        nearest[block] = np.take_along_axis(other, order, axis=1)
        cosine[block] = np.take_along_axis(value, order, axis=1)
    return nearest, cosine


def _recall(rows: Floats, cosine: Floats, seed: int, sample: int) -> float:
    """Return the share of the true neighbours of some rows among those found."""
    n, k = len(rows), min(cosine.shape[1], len(rows) - 1)
    drawn = np.sort(np.random.default_rng(seed).choice(n, size=min(sample, n), replace=False))
    hits, wanted = 0, k * len(drawn)
    for start in range(0, len(drawn), _SAMPLE_ROWS):
        some = drawn[start : start + _SAMPLE_ROWS]
        product = tensor_of(rows[some]) @ tensor_of(rows).T
        product[np.arange(len(some)), some] = -np.inf
        least = product.topk(k, dim=1).values[:, -1:].numpy()
        # A neighbour counts by its cosine: of equal ones, either is true.
        hits += int(np.minimum((cosine[some] >= least - _SAME).sum(axis=1), k).sum())
    return float(hits / wanted)
