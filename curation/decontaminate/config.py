"""Declare the settings of decontamination."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from medsift.config import Config
from medsift.storage.local_paths import AnyPath

Fate = Literal["drop", "keep"]
Undecided = Literal["drop", "keep", "stop"]


class BenchmarkConfig(Config):
    """Settings of one benchmark that training data must not contain."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    """Name of the benchmark in leaks and reviews."""
    index: AnyPath
    """Folder that `medsift index` wrote, or its URL in a store."""
    run: AnyPath | None = None
    """Run that the index was made of. The review list then shows its pictures and questions;
    without it, the list shows miniatures alone."""


class DecontaminateConfig(Config):
    """Settings of which benchmarks are kept out of training, and what becomes of rows that match.

    Every hit is listed in the view `leaks`, whatever becomes of its row; pairs that are near and
    unresolved are shown in the report's review list too.
    """

    renamed_keys: ClassVar[Mapping[str, str]] = {"least_words": "min_words", "gram": "ngram_words"}

    benchmarks: tuple[BenchmarkConfig, ...] = ()
    """Benchmarks that rows are compared with; none by default, and then no row is compared."""
    confirmed: Fate = "drop"
    """What becomes of rows that show a benchmark's image, or repeat its words."""
    unresolved: Undecided = "keep"
    """What becomes of rows with a picture near one of a benchmark's but not confirmed as its copy,
    or with a long run of an item's words. `stop` ends the run before anything is scored or
    selected."""
    near_cosine: float = Field(0.97, gt=0.0, le=1.0)
    """Cosine from which pictures that pixels cannot confirm are listed as near."""
    near_correlation: float = Field(0.97, gt=0.0, le=1.0)
    """Correlation of registered miniatures from which unconfirmed pictures are listed as near."""
    near_likeness: float = Field(0.935, gt=0.0, le=1.0)
    """Correlation of parts, in any of eight orientations, from which pictures are listed as near.

    Independent of the encoder. Chosen on VQA-RAD, of whose pictures, one half against the
    other, at most 2 % reach it; strong marks or windows take a copy below it."""
    near_candidates: int = Field(8, ge=1)
    """Number of benchmark pictures whose parts are compared with a picture of the pool: the most
    promising by the directions of their edges."""
    min_words: int = Field(12, ge=1)
    """Number of words that a question and answer must have for their text alone to be a hit.

    Short questions are asked about many pictures; a sample without a picture is always compared.
    """
    ngram_words: int = Field(13, ge=2)
    """Number of words of a run that makes texts near (Brown et al. 2020, appendix C)."""

    @field_validator("benchmarks")
    @classmethod
    def _check_names(cls, benchmarks: tuple[BenchmarkConfig, ...]) -> tuple[BenchmarkConfig, ...]:
        names = [benchmark.name for benchmark in benchmarks]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two benchmarks are named {name!r}; the leaks name them")
        return benchmarks
