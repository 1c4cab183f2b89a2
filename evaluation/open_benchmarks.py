"""Read the benchmarks of an evaluation and make the variants of their items."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from evaluation.benchmarks import Benchmark, BenchmarkConfig
from evaluation.perturb.apply import find_variants, vary
from evaluation.recipe import EvaluationRecipe
from evaluation.records import ORIGINAL
from evaluation.scoring import PROTOCOLS
from medsift import records
from medsift.errors import UsageError

PICTURES: Final = "benchmark-pictures"
"""Folder in the cache for pictures that a benchmark keeps in tables or archives."""


@dataclass(frozen=True, slots=True)
class OpenBenchmark:
    """A benchmark that was read, and what will be asked of it.

    `varied` has its items in every variant (``VARIED``); `left_out` counts the items that a
    variant could not be made of, by variant and reason.
    """

    benchmark: Benchmark
    variants: tuple[str, ...]
    varied: pa.Table
    left_out: Mapping[str, Mapping[str, int]]

    @property
    def name(self) -> str:
        """The benchmark's name in tables."""
        return self.benchmark.name


def open_benchmarks(recipe: EvaluationRecipe) -> list[OpenBenchmark]:
    """Read the benchmarks of a recipe with all that will be asked.

    Raises InputError or StorageError as the files do, UsageError for a variant that does not exist
    or a protocol without rules for some items.
    """
    opened = [_open(config, recipe) for config in recipe.benchmarks]
    allowed = PROTOCOLS[recipe.protocol].answer_types
    for benchmark in opened:
        unfit = set(pc.unique(benchmark.varied["answer_type"]).to_pylist()) - set(allowed)
        if unfit:
            raise UsageError(
                f"benchmark {benchmark.name} has {', '.join(sorted(unfit))} items, and protocol "
                f"{recipe.protocol} has rules for {', '.join(allowed)} alone; choose another "
                "protocol, or leave the benchmark out",
                code="protocol_unfit",
                benchmark=benchmark.name,
                protocol=recipe.protocol,
                answer_types=sorted(unfit),
            )
    return opened


def _open(config: BenchmarkConfig, recipe: EvaluationRecipe) -> OpenBenchmark:
    benchmark = config.load(recipe.cache_dir.absolute() / PICTURES)
    asked = benchmark.items
    if recipe.items is not None:
        # The least hashes: a sample that does not depend on the order of the benchmark's files.
        ids = asked["item_id"].to_pylist()
        rows = sorted(range(len(ids)), key=lambda at: (records.digest("item", ids[at]), ids[at]))
        asked = asked.take(pa.array(sorted(rows[: recipe.items]), pa.int64()))
    variants = find_variants([ORIGINAL, *recipe.variants], asked)
    varied = vary(asked, variants, recipe.seed)
    reasons: dict[str, Counter[str]] = {}
    for row in varied.skipped.to_pylist():
        reasons.setdefault(row["variant"], Counter())[row["reason"]] += 1
    made = set(pc.unique(varied.items["variant"]).to_pylist())
    return OpenBenchmark(
        benchmark,
        tuple(variant.name for variant in variants if variant.name in made),
        varied.items,
        {name: dict(sorted(counts.items())) for name, counts in sorted(reasons.items())},
    )
