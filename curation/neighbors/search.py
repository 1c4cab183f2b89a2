"""Exact search up to a configured size, measured approximate search past it."""

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
    """How similar pairs are searched."""

    renamed_keys: ClassVar[Mapping[str, str]] = {"limit": "max_pairs"}

    exact_up_to: int = Field(default=200_000, ge=0, description="rows searched exactly")
    tile: int = Field(default=PAIR_TILE, ge=16, le=65_536, description="rows of one tile")
    max_pairs: int = Field(
        default=PAIR_LIMIT, ge=1, description="pairs kept in memory at most, 24 bytes each"
    )
    device: str = Field(default="auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    nlist: int | None = Field(default=None, ge=1, description="cells; None: 4 * sqrt(rows)")
    nprobe: int = Field(default=32, ge=1, description="cells searched for each row")
    recall_sample: int = Field(default=1000, ge=1, description="rows that recall is measured on")
    seed: int = Field(default=0, ge=0)
    spread_above: int = Field(
        default=50_000, ge=0, description="rows whose tiles become tasks; changes no result"
    )

    def identity(self) -> dict[str, Any]:
        """Return the settings that may change a result, for the fingerprint of a stage."""
        return self.with_first_names(self.model_dump(mode="json", exclude={"spread_above"}))

    def runner(self, rows: int, run: TileRunner | None) -> TileRunner | None:
        """Return `run` for a search over more than `spread_above` rows, else None: stay here.

        Where the product is made on a GPU it stays too: a task holds no GPU of its own.
        """
        return run if rows > self.spread_above and choose_device(self.device) == "cpu" else None

    def cells(self, vectors: Floats, threshold: float) -> CellSearch:
        """The approximate search of these vectors, block by block."""
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
    device, limit = config.device, config.max_pairs
    if len(vectors) <= config.exact_up_to:
        found = pairs_above(
            vectors, threshold, tile=config.tile, device=device, limit=limit, run=run
        )
        return PairSearch(found, "exact", 1.0)
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
