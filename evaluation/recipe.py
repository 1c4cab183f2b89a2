"""The recipe of an evaluation: which models answer which benchmarks, in which variants, and how."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from pydantic import Field, field_validator

from evaluation.benchmarks import AnyBenchmark
from evaluation.generators import AnyGenerator
from evaluation.judge import JudgeConfig
from evaluation.perturb.apply import BY_NAME
from evaluation.prompts import PromptConfig
from evaluation.records import ORIGINAL
from evaluation.scoring import PROTOCOLS
from medsift.config import Config
from medsift.statistics import FACETS, Resampling
from medsift.storage.local_paths import AnyPath

JOINT: Final = " / "
"""Joins the columns of a facet that is a combination: ``modality / task_type``."""


class EvaluationFailures(Config):
    """When an evaluation with unanswered requests still counts."""

    tolerance: float = Field(0.02, ge=0.0, le=1.0)
    """Share of the predictions that may have no reply. They count as wrong, and are shown."""


class EvaluationCompute(Config):
    """Where the work runs; never decides what a model says."""

    ray: bool = False
    """Use Ray (a local one if there is no cluster); false runs in this process."""
    workers: int | None = Field(None, ge=1)
    """CPUs of a local Ray; all of them when not given."""
    requests_per_batch: int = Field(32, ge=1)
    """Requests per unit of work; what a killed evaluation may have to ask again."""
    shared_disk: bool = False
    """Whether all nodes of a cluster have the folders named here under the same paths, as on a
    network disk. A cluster of several nodes needs that, or the URL of a store for the run; what is
    said here is proved before anything runs."""


class EvaluationRecipe(Config):
    """Models, benchmarks and rules. Equal recipes on equal files ask and score alike."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    """Name of the evaluation: letters, digits, `_`, `.` and `-`."""
    seed: int = Field(0, ge=0)
    """Of the variants: which noise, which other picture."""
    runs: AnyPath = Path("medsift-runs")
    """Folder or URL of run directories; without `run`, results go to `runs/name`."""
    run: AnyPath | None = None
    """Run directory whose manifest takes predictions and metrics, next to what it curated."""
    cache: AnyPath | None = None
    """Folder of replies and pictures that evaluations share; `runs/cache` when not given."""
    models: tuple[AnyGenerator, ...] = Field(min_length=1)
    benchmarks: tuple[AnyBenchmark, ...] = Field(min_length=1)
    items: int | None = Field(None, ge=1)
    """Only so many items of each benchmark, chosen by a hash of their ids; None is all."""
    variants: tuple[str, ...] = (ORIGINAL,)
    """Variants to ask, by name or family, or ``all``; the original is always asked."""
    prompts: PromptConfig = PromptConfig()
    protocol: str = "strict"
    """Rules that score replies: `strict`, `medevalkit` or `llava-med`."""
    facets: tuple[str, ...] = (*FACETS, "modality / task_type")
    """Columns of predictions, keys of their `extra`, or combinations joined by " / "."""
    judge: JudgeConfig | None = None
    """A model that judges open replies, in columns of its own."""
    resampling: Resampling = Resampling()
    failures: EvaluationFailures = EvaluationFailures()
    compute: EvaluationCompute = EvaluationCompute()

    @field_validator("models", "benchmarks")
    @classmethod
    def _names_differ(cls, given: tuple[Any, ...]) -> tuple[Any, ...]:
        names = [one.name for one in given]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two are named {name!r}; give one of them another label")
        return given

    @field_validator("variants")
    @classmethod
    def _families_are_known(cls, variants: tuple[str, ...]) -> tuple[str, ...]:
        for name in variants:
            if name != "all" and name.partition("@")[0] not in BY_NAME:
                raise ValueError(f"{name!r} is no variant; families are all, {', '.join(BY_NAME)}")
        return variants

    @field_validator("protocol")
    @classmethod
    def _protocol_is_known(cls, protocol: str) -> str:
        if protocol not in PROTOCOLS:
            raise ValueError(f"allowed are {', '.join(PROTOCOLS)}")
        return protocol

    @property
    def run_dir(self) -> Path:
        """The run directory whose manifest takes the results."""
        return self.run if self.run is not None else self.runs / self.name

    @property
    def cache_dir(self) -> Path:
        """The folder of shared replies and pictures."""
        return self.cache if self.cache is not None else self.runs / "cache"


def split_facet(facet: str) -> str | tuple[str, ...]:
    """A facet as statistics take it: a column, or the columns of a combination."""
    parts = tuple(part.strip() for part in facet.split(JOINT.strip()))
    return parts[0] if len(parts) == 1 else parts
