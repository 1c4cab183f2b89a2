"""Settings of decontamination."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from curation.config import Config

Fate = Literal["drop", "keep"]


class BenchmarkConfig(Config):
    """One benchmark that training data must not meet."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    index: Path
    """Folder that `medsift index` wrote."""


class DecontaminateConfig(Config):
    """Which benchmarks are kept out of training, and what becomes of rows that meet them.

    Every hit is listed in the view `leaks`, whatever becomes of its row.
    """

    benchmarks: tuple[BenchmarkConfig, ...] = ()
    confirmed: Fate = "drop"
    """Rows that show a benchmark's image, or repeat its words."""
    unresolved: Fate = "keep"
    """Rows with a picture that is near one of a benchmark's but not confirmed as its copy."""
    near_cosine: float = Field(0.97, gt=0.0, le=1.0)
    """Cosine from which pictures that pixels cannot confirm are listed as near."""
    near_correlation: float = Field(0.97, gt=0.0, le=1.0)
    """Correlation of registered miniatures from which unconfirmed pictures are listed as near."""
    least_words: int = Field(12, ge=1)
    """Words that a question and answer must have for their text alone to be a hit.

    Short questions are asked about many pictures; a sample without a picture is always compared.
    """
    gram: int = Field(13, ge=2)
    """Words of a run that, when shared, makes texts near (Brown et al. 2020, appendix C)."""

    @field_validator("benchmarks")
    @classmethod
    def _names_differ(cls, benchmarks: tuple[BenchmarkConfig, ...]) -> tuple[BenchmarkConfig, ...]:
        names = [benchmark.name for benchmark in benchmarks]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two benchmarks are named {name!r}; the leaks name them")
        return benchmarks
