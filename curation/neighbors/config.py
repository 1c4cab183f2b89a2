"""Declare the settings of the search for similar vectors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, TypeVar

from pydantic import Field

from curation.neighbors.join import PAIR_LIMIT, PAIR_TILE, choose_device
from medsift.config import Config

Method = Literal["exact", "ivf"]
Run = TypeVar("Run")


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

    def runner(self, rows: int, run: Run | None) -> Run | None:
        """Return `run` for a search over more than `spread_above` rows, else None.

        Products on a GPU stay in this process too: a task has no GPU of its own.
        """
        return run if rows > self.spread_above and choose_device(self.device) == "cpu" else None
