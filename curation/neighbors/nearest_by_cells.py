"""Search the nearest others of vectors by cells, with the recall measured."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np

from curation.neighbors.cells import build_index, draw_rows, open_cells, write_cells
from curation.neighbors.config import NeighborsConfig
from curation.neighbors.cosine import check_vectors, tensor_of
from curation.neighbors.join import rows_in_order
from curation.neighbors.kmeans import gpus_of_faiss
from curation.neighbors.tiles import Runner
from medsift.arrays import Floats, Indices, Narrow
from medsift.errors import UsageError
from medsift.storage.mirror import is_mirrored
from medsift.storage.scratch import LARGE, scratch_zeros

QUERIES: Final = 16_384
ROWS: Final = "rows.npy"
"""Name of the file of the rows next to their cells."""
SAMPLE_ROWS: Final = 256
SAMPLE_COLUMNS: Final = 1 << 15
SAME: Final = 1e-5
"""Cosines this near are equal: FAISS and torch round differently."""


@dataclass(frozen=True, slots=True)
class Nearest:
    """Each of n rows' k nearest others, best first: `index` (n, k), -1 where there are fewer.

    `similarity` (n, k) are their cosines in float32, -inf there; `recall` is the share of true
    neighbours among them, on a sample of rows.
    """

    index: Narrow
    similarity: Floats
    recall: float


def approximate_nearest(
    vectors: Floats,
    k: int,
    config: NeighborsConfig,
    scratch: Path | None = None,
    run: Runner | None = None,
) -> Nearest:
    """Return most of the `k` nearest others of each of the unit vectors (n, d).

    Equal cosines are ordered by row. A zero vector has no neighbours and is nobody's.

    Args:
        vectors: Unit or zero vectors (n, d), float32.
        k: How many neighbours.
        config: How they are searched.
        scratch: Folder for cells and neighbours that are too large for memory.
        run: Spreads rows over workers that see `scratch`; None is this process.

    Raises:
        InputError: vectors that are not float32, two-dimensional, finite and unit (or zero).
        UsageError: k below 1.
    """
    if k < 1:
        raise UsageError(
            f"k is {k}; pass the number of neighbours, at least 1", code="search_setting_invalid"
        )
    names = np.flatnonzero(check_vectors(vectors) > 0.0).astype(np.int64)
    rows = rows_in_order(vectors, names, scratch)
    index = scratch_zeros((len(vectors), k), np.int32, scratch)
    similarity = scratch_zeros((len(vectors), k), np.float32, scratch)
    index[:], similarity[:] = -1, -np.inf
    if len(rows) < 2:
        return Nearest(index, similarity, 1.0)
    for block, nearest, cosine in _search(rows, k, config, scratch, run):
        index[names[block]] = np.where(nearest < 0, -1, names[nearest])
        similarity[names[block]] = cosine
    return Nearest(index, similarity, _recall(rows, similarity, names, config))


Found = tuple[slice, Indices, Floats]
"""Some of the rows (b), their nearest others (b, k) and the cosines (b, k)."""


def _search(
    rows: Floats, k: int, config: NeighborsConfig, scratch: Path | None, run: Runner | None
) -> Iterator[Found]:
    """Yield what is found for all rows; see `approximate_nearest`."""
    blocks = [
        slice(start, min(start + QUERIES, len(rows))) for start in range(0, len(rows), QUERIES)
    ]
    if scratch is None or rows.nbytes <= LARGE or gpus_of_faiss(config.device):
        cells = build_index(rows, config, config.device)
        if gpus_of_faiss(config.device):
            import faiss

            cells = faiss.index_cpu_to_all_gpus(cells)
        yield from (nearest_in(cells, rows, block, k) for block in blocks)
        return
    scratch.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=scratch, prefix="cells-", suffix=".partial") as written:
        folder = Path(written)
        write_cells(rows, config, folder)
        # Other machines see a shared disk alone.
        if run is None or is_mirrored(scratch):
            cells = open_cells(folder)
            yield from (nearest_in(cells, rows, block, k) for block in blocks)
        else:
            np.save(folder / ROWS, rows)
            yield from run(SearchCells(folder.absolute(), k), blocks)


@dataclass(frozen=True, slots=True)
class SearchCells:
    """Searches some rows in the cells of a folder, which also has the rows, wherever it runs."""

    folder: Path
    k: int

    def __call__(self, block: slice) -> Found:
        """Return what is found for a block of rows."""
        rows = np.load(self.folder / ROWS, mmap_mode="r")
        return nearest_in(open_cells(self.folder), rows, block, self.k)


def nearest_in(cells: Any, rows: Floats, block: slice, k: int) -> Found:
    """Search a block of the rows (n, d) in cells that have them all."""
    value, other = cells.search(np.ascontiguousarray(rows[block]), k + 1)
    other = np.where(other == np.arange(block.start, block.stop)[:, None], -1, other)
    value = np.where(other < 0, -np.inf, np.clip(value, -1.0, 1.0))
    # The row itself goes last; where copies of it crowded it out, the worst of them does.
    order = np.lexsort((other, -value))[:, :k]
    return (
        block,
        np.take_along_axis(other, order, axis=1),
        np.take_along_axis(value, order, axis=1),
    )


def _recall(rows: Floats, cosine: Floats, names: Indices, config: NeighborsConfig) -> float:
    """Return the share of the true neighbours of some rows among those found.

    Args:
        rows: Unit vectors (n, d).
        cosine: Cosines with what was found, by the names of the rows.
        names: Names of the rows (n,).
        config: How many rows are drawn, and the seed.
    """
    n, k = len(rows), min(cosine.shape[1], len(rows) - 1)
    drawn = draw_rows(n, config)
    hits, wanted = 0, k * len(drawn)
    for start in range(0, len(drawn), SAMPLE_ROWS):
        some = drawn[start : start + SAMPLE_ROWS]
        least = _best_cosines(rows, some, k)[:, -1:]
        # A neighbour counts by its cosine: of equal ones, either is true.
        found = (cosine[names[some]] >= least - SAME).sum(axis=1)
        hits += int(np.minimum(found, k).sum())
    return float(hits / wanted)


def _best_cosines(rows: Floats, some: Indices, k: int) -> Floats:
    """Return the k greatest cosines (s, k) of some rows (s,) with the others, greatest first."""
    import torch

    best = torch.empty((len(some), 0))
    for start in range(0, len(rows), SAMPLE_COLUMNS):
        product = tensor_of(rows[some]) @ tensor_of(rows[start : start + SAMPLE_COLUMNS]).T
        itself = np.flatnonzero((some >= start) & (some < start + product.shape[1]))
        product[itself, some[itself] - start] = -np.inf
        best = torch.cat([best, product], dim=1)
        best = best.topk(min(k, best.shape[1]), dim=1).values
    cosines: Floats = best.numpy()
    return cosines
