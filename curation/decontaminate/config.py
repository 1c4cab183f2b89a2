"""Settings of decontamination."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from medsift.config import Config
from medsift.storage.local_paths import LocalPath

Fate = Literal["drop", "keep"]
Undecided = Literal["drop", "keep", "stop"]


class BenchmarkConfig(Config):
    """One benchmark that training data must not meet."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    index: LocalPath
    """Folder that `medsift index` wrote."""
    run: LocalPath | None = None
    """The run that the index was made of, where it is at hand: its pictures and questions are then
    shown in the review list, which has miniatures alone otherwise."""


class DecontaminateConfig(Config):
    """Which benchmarks are kept out of training, and what becomes of rows that meet them.

    Every hit is listed in the view `leaks`, whatever becomes of its row; those that are near and
    unresolved stand side by side in the report's review list too.
    """

    renamed_keys: ClassVar[Mapping[str, str]] = {
        "least_words": "min_words",
        "gram": "ngram_words",
    }

    benchmarks: tuple[BenchmarkConfig, ...] = ()
    confirmed: Fate = "drop"
    """Rows that show a benchmark's image, or repeat its words."""
    unresolved: Undecided = "keep"
    """Rows with a picture near one of a benchmark's but not confirmed as its copy, or with a long
    run of an item's words. `stop` ends the run before anything is scored or selected."""
    near_cosine: float = Field(0.97, gt=0.0, le=1.0)
    """Cosine from which pictures that pixels cannot confirm are listed as near."""
    near_correlation: float = Field(0.97, gt=0.0, le=1.0)
    """Correlation of registered miniatures from which unconfirmed pictures are listed as near."""
    near_likeness: float = Field(0.935, gt=0.0, le=1.0)
    """Likeness of parts, in any of eight orientations, from which pictures are listed as near.

    Independent of the encoder. Chosen on VQA-RAD, of whose pictures, one half against the
    other, at most 2 % reach it; strong marks or windows take a copy below it."""
    near_candidates: int = Field(8, ge=1)
    """Benchmark pictures whose parts are compared with a picture of the pool: the most promising
    by the directions of their edges."""
    min_words: int = Field(12, ge=1)
    """Words that a question and answer must have for their text alone to be a hit.

    Short questions are asked about many pictures; a sample without a picture is always compared.
    """
    ngram_words: int = Field(13, ge=2)
    """Words of a run that, when shared, makes texts near (Brown et al. 2020, appendix C)."""

    @field_validator("benchmarks")
    @classmethod
    def _names_differ(cls, benchmarks: tuple[BenchmarkConfig, ...]) -> tuple[BenchmarkConfig, ...]:
        names = [benchmark.name for benchmark in benchmarks]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two benchmarks are named {name!r}; the leaks name them")
        return benchmarks
