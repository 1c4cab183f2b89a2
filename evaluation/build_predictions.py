"""One model on some benchmarks: every item in every variant becomes a line of predictions."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from evaluation.benchmarks import Benchmark, BenchmarkConfig
from evaluation.generators import GeneratorConfig
from evaluation.inference import Asked, Question
from evaluation.perturb.apply import find_variants, vary
from evaluation.records import ORIGINAL, PREDICTIONS
from medsift import records

ID_DIGITS: Final = 10


@dataclass(frozen=True, slots=True)
class Bench:
    """A benchmark that was read, and what will be asked of it.

    `varied` holds its items in every variant (``VARIED``), `left_out` counts the items that a
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


def open_bench(
    config: BenchmarkConfig, names: Sequence[str], seed: int, items: int | None, pictures: Path
) -> Bench:
    """Read a benchmark and make the variants that `names` mean, the original first.

    Raises InputError or StorageError as the benchmark's files do, UsageError for a variant that
    there is not.
    """
    benchmark = config.load(pictures)
    asked = benchmark.items if items is None else _some(benchmark.items, items)
    variants = find_variants([ORIGINAL, *names], asked)
    varied = vary(asked, variants, seed)
    reasons: dict[str, Counter[str]] = {}
    for line in varied.skipped.to_pylist():
        reasons.setdefault(line["variant"], Counter())[line["reason"]] += 1
    made = set(pc.unique(varied.items["variant"]).to_pylist())
    return Bench(
        benchmark,
        tuple(variant.name for variant in variants if variant.name in made),
        varied.items,
        {name: dict(sorted(counts.items())) for name, counts in sorted(reasons.items())},
    )


def evaluation_identity(
    config: GeneratorConfig, fingerprint: str, settings: Mapping[str, Any], benches: Sequence[Bench]
) -> str:
    """Id of what decides the predictions of a model: the same again is the same evaluation."""
    asked = [[bench.name, bench.benchmark.content_hash, *bench.variants] for bench in benches]
    rows = [bench.varied.num_rows for bench in benches]
    whole = records.fingerprint([fingerprint, settings, asked, rows])
    return f"{config.name}-{whole[:ID_DIGITS]}"


def requests(question: Question, config: GeneratorConfig, bench: Bench) -> list[Asked]:
    """The request (n,) of each line of a bench's `varied`."""
    return [question.asked(item, config) for item in bench.varied.to_pylist()]


def predictions(
    bench: Bench, asked: Sequence[Asked], replies: pa.Table, head: Mapping[str, Any]
) -> pa.Table:
    """Lines of ``PREDICTIONS``: each item and variant with the reply to its request.

    `head` holds evaluation_id, training_id, model_hash and settings.
    """
    varied = bench.varied
    place = {key: at for at, key in enumerate(replies["request_id"].to_pylist())}
    found = replies.take(pa.array([place[one.request_id] for one in asked], pa.int64()))
    hashes = [records.digest(*(part for turn in one.turns for part in turn)) for one in asked]
    columns = {name: varied[name] for name in varied.column_names if name in PREDICTIONS.names}
    columns |= {name: found[name] for name in ("reply", "error", "probabilities", "tokens")}
    columns["prompt_hash"] = pa.array([one[:16] for one in hashes], pa.string())
    columns |= {name: pa.repeat(value, len(asked)) for name, value in head.items()}
    return pa.table({field.name: columns[field.name].cast(field.type) for field in PREDICTIONS})


def as_json(value: Any) -> str:
    """JSON with sorted keys, as the manifest keeps it."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def _some(items: pa.Table, count: int) -> pa.Table:
    """The `count` items whose hash is least, in the order of the table."""
    ids = items["item_id"].to_pylist()
    least = sorted(range(len(ids)), key=lambda at: (records.digest("item", ids[at]), ids[at]))
    return items.take(pa.array(sorted(least[:count]), pa.int64()))
