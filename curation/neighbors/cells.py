"""Build an index of cells over unit vectors, in memory or in files that are mapped into it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np

from curation.neighbors.config import NeighborsConfig
from curation.neighbors.kmeans import gpus_of_faiss
from medsift.arrays import Floats, Indices
from medsift.storage.scratch import LARGE

TRAINING_ROWS_PER_LIST: Final = 64


def build_index(rows: Floats, config: NeighborsConfig, device: str) -> Any:
    """Return an inverted file on the CPU over unit vectors (n, d)."""
    index = _empty_index(rows, config, device)
    index.add(np.ascontiguousarray(rows))
    return index


def write_cells(rows: Floats, config: NeighborsConfig, folder: Path) -> None:
    """Write the cells of `build_index` to a folder in parts, each with some of the rows (n, d)."""
    import faiss

    empty, at_once = _empty_index(rows, config, config.device), max(1, LARGE // rows[0].nbytes)
    for start in range(0, len(rows), at_once):
        block = np.ascontiguousarray(rows[start : start + at_once])
        part = faiss.clone_index(empty)
        part.add_with_ids(block, np.arange(start, start + len(block)))
        faiss.write_index(part, str(folder / f"cells-{start:012d}.faiss"))


def open_cells(folder: Path) -> Any:
    """Return the parts that `write_cells` wrote as one index, mapped into memory."""
    import faiss

    engine: Any = faiss
    parts: list[Any] = [
        faiss.read_index(str(file), faiss.IO_FLAG_MMAP)
        for file in sorted(folder.glob("cells-*.faiss"))
    ]
    whole = engine.IndexShardsIVF(parts[0].quantizer, parts[0].nlist, False, False)
    for part in parts:
        # Reading ahead goes through every list of every row, which are in the page cache anyway.
        engine.downcast_InvertedLists(part.invlists).prefetch_nthread = 0
        whole.add_shard(part)
    return whole


def _empty_index(rows: Floats, config: NeighborsConfig, device: str) -> Any:
    """Return an inverted file with the cells of unit vectors (n, d), and none of them in it."""
    import faiss

    width = rows.shape[1]
    nlist = min(len(rows), config.nlist or int(4 * len(rows) ** 0.5))
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(width), width, nlist, faiss.METRIC_INNER_PRODUCT)
    # FAISS warns below 39 rows a cell; few rows make poor cells, which the measured recall shows.
    index.cp.seed, index.cp.min_points_per_centroid = config.seed, 1
    index.cp.max_points_per_centroid = TRAINING_ROWS_PER_LIST
    if gpus_of_faiss(device):
        # Range search over an inverted file exists on the CPU only: the GPU finds the cells.
        index.clustering_index = faiss.index_cpu_to_all_gpus(faiss.IndexFlatIP(width))
    index.train(np.ascontiguousarray(rows))
    index.nprobe = min(config.nprobe, nlist)
    return index


def draw_rows(count: int, config: NeighborsConfig) -> Indices:
    """Draw the rows (s,) of `count` on which the recall is measured."""
    size = min(config.recall_sample, count)
    drawn = np.random.default_rng(config.seed).choice(count, size, replace=False)
    return np.sort(drawn).astype(np.int64)
