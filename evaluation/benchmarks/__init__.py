"""Benchmarks an evaluation may name; a new one is one file and one entry in `AnyBenchmark`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from evaluation.benchmarks.benchmark import BenchmarkConfig
from evaluation.benchmarks.build import Benchmark
from evaluation.benchmarks.gmai_mmbench import GmaiMmbench
from evaluation.benchmarks.manifest import ManifestSplit
from evaluation.benchmarks.medxpertqa import MedXpertQa
from evaluation.benchmarks.mmmu import MmmuMedicine
from evaluation.benchmarks.omni_med_vqa import OmniMedVqa
from evaluation.benchmarks.path_vqa import PathVqa
from evaluation.benchmarks.phantoms import Phantoms
from evaluation.benchmarks.pmc_vqa import PmcVqa
from evaluation.benchmarks.slake import Slake
from evaluation.benchmarks.vqa_rad import VqaRad

AnyBenchmark = Annotated[
    VqaRad
    | Slake
    | PathVqa
    | PmcVqa
    | OmniMedVqa
    | MmmuMedicine
    | GmaiMmbench
    | MedXpertQa
    | ManifestSplit
    | Phantoms,
    Field(discriminator="kind"),
]

__all__ = ["AnyBenchmark", "Benchmark", "BenchmarkConfig"]
