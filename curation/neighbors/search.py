"""Search exactly up to a configured size, and approximately with the recall measured past it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic import Field

from curation.neighbors.approximate import CellSearch, approximate_pairs
from curation.neighbors.join import PAIR_LIMIT, PAIR_TILE, choose_device, pairs_above
from curation.neighbors.pairs import Pairs
from curation.neighbors.tiles import TileRunner
from medsift.arrays import Floats
from medsift.config import Config

logger = logging.getLogger(__name__)

Method = Literal["exact", "ivf"]


class NeighborsConfig(Config):
    """Settings of how similar pairs of vectors are searched."""

    renamed_keys: ClassVar[Mapping[str, str]] = {"limit": "max_pairs"}

    exact_up_to: int = Field(200_000, ge=0)
    """Number of rows up to which every pair is found; of more, an index of cells finds most."""
    tile: int = Field(PAIR_TILE, ge=16, le=65_536)
    """Rows of one tile of the similarity matrix; changes time and memory, never the result."""
    max_pairs: int = Field(PAIR_LIMIT, ge=1)
    """Most pairs that are kept in memory, at 24 bytes each; more end the run with an error."""
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    """Where products are computed; `auto` is a GPU where there is one, else the CPU."""
    nlist: int | None = Field(None, ge=1)
    """Number of cells of the approximate search; null takes 4 * sqrt(rows)."""
    nprobe: int = Field(32, ge=1)
    """Number of cells that are searched for each row; more find more pairs in more time."""
    recall_sample: int = Field(1000, ge=1)
    """Number of rows that the recall of the approximate search is measured on."""
    seed: int = Field(0, ge=0)
    """Seed of the cells and of the sample for the recall."""
    spread_above: int = Field(50_000, ge=0)
    """Number of rows above which tiles are spread over workers; changes no result."""

    def identity(self) -> dict[str, Any]:
        """Return the settings that may change a result, for the fingerprint of a stage."""
        return self.with_first_names(self.model_dump(mode="json", exclude={"spread_above"}))

    def runner(self, rows: int, run: TileRunner | None) -> TileRunner | None:
        """Return `run` for a search over more than `spread_above` rows, else None.

        Products on a GPU stay in this process too: a task has no GPU of its own.
        """
        return run if rows > self.spread_above and choose_device(self.device) == "cpu" else None

    def cells(self, vectors: Floats, threshold: float) -> CellSearch:
        """Return the approximate search of these vectors, block by block."""
        return CellSearch(
            vectors,
            threshold,
            self.nlist,
            self.nprobe,
            self.seed,
            self.recall_sample,
            choose_device(self.device),
        )


@dataclass(frozen=True, slots=True)
class PairSearch:
    """Similar pairs, how they were searched, and the share of all such pairs among them."""

    pairs: Pairs
    method: Method
    recall: float


def find_pairs(
    vectors: Floats, threshold: float, config: NeighborsConfig, run: TileRunner | None = None
) -> PairSearch:
    """Return the pairs of unit vectors (n, d) with cosine >= threshold.

    Exact, with recall 1.0, up to `config.exact_up_to` rows; past it by FAISS with the recall
    measured.

    Raises:
        InputError: vectors that are not float32, two-dimensional, finite and unit (or zero).
        UsageError: a threshold out of range, or more than `config.max_pairs` pairs.
    """
    # Exact time grows with the square of the rows: past the limit, most pairs in reasonable time.
    device, limit = config.device, config.max_pairs
    if len(vectors) <= config.exact_up_to:
        pairs = pairs_above(
            vectors, threshold, tile=config.tile, device=device, limit=limit, run=run
        )
        return PairSearch(pairs, "exact", 1.0)
    pairs, recall = approximate_pairs(
        vectors,
        threshold,
        nlist=config.nlist,
        nprobe=config.nprobe,
        seed=config.seed,
        sample=config.recall_sample,
        device=device,
        limit=limit,
    )
    logger.info("%d rows searched by cells, recall %.4f", len(vectors), recall)
    return PairSearch(pairs, "ivf", recall)
