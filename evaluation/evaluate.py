"""An evaluation: models answer benchmarks, replies are scored, and the manifest takes it all."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from evaluation.build_predictions import (
    Bench,
    as_json,
    evaluation_identity,
    open_bench,
    predictions,
    requests,
)
from evaluation.generators import GeneratorConfig
from evaluation.inference import AskModel, Question, collect_replies
from evaluation.judge import judge
from evaluation.lineage import Lineage, lineage_of
from evaluation.manifest_io import home, store
from evaluation.metrics_table import summarise
from evaluation.recipe import EvaluationRecipe
from evaluation.scoring import PROTOCOLS
from evaluation.scoring.predictions import score_predictions
from medsift.errors import LedgerError, UsageError
from medsift.execution import Executor
from medsift.manifest.schema import arrow_schema
from medsift.progress import Listener, StageAdvanced, StageStarted, silent

PICTURES: Final = "benchmark-pictures"


@dataclass(frozen=True, slots=True)
class Evaluated:
    """One model's part: its scored predictions, the metrics, and one line a benchmark."""

    evaluation_id: str
    model: str
    predictions: pa.Table
    metrics: pa.Table
    reliability: pa.Table
    lines: pa.Table

    @property
    def tables(self) -> dict[str, pa.Table]:
        """The manifest's tables by name."""
        return {
            "evaluations": self.lines,
            "predictions": self.predictions,
            "metrics": self.metrics,
            "reliability": self.reliability,
        }


@dataclass(frozen=True, slots=True)
class EvaluationResult:
    """What an evaluation leaves behind."""

    run_id: str
    manifest: Path
    models: tuple[Evaluated, ...]

    @property
    def metrics(self) -> pa.Table:
        """Metrics of all models."""
        return pa.concat_tables([one.metrics for one in self.models])

    @property
    def lines(self) -> pa.Table:
        """One line a model and benchmark, as in the manifest's `evaluations`."""
        return pa.concat_tables([one.lines for one in self.models])


def evaluate(
    recipe: EvaluationRecipe, executor: Executor, listener: Listener = silent
) -> EvaluationResult:
    """Ask every model about every benchmark; each model's results are stored as it finishes.

    Replies that an earlier or killed evaluation got are not asked for again. Everything that can
    be refused is refused before the first request.

    Raises:
        UsageError: a protocol without rules for a benchmark, an unknown facet or variant.
        InputError: a benchmark that cannot be read, or lacks pictures.
        ModelError: a model that cannot be loaded.
        LedgerError: more requests without a reply than tolerated; the results are stored.
        StorageError: the disk refuses, or a picture is gone.
    """
    run = home(recipe.run_dir.absolute(), recipe.name)
    for config in recipe.models:
        config.fingerprint()  # a model that cannot be loaded is refused before the first request
    benches = open_benches(recipe)
    found = []
    for config in recipe.models:
        found.append(evaluate_model(recipe, config, benches, executor, listener))
        store(run, found[-1].tables)
    check_answered(found, recipe.failures.tolerance)
    return EvaluationResult(run.run_id, run.manifest, tuple(found))


def open_benches(recipe: EvaluationRecipe) -> list[Bench]:
    """The recipe's benchmarks with all that will be asked. Raises as `evaluate` does."""
    open_one = partial(
        open_bench,
        names=recipe.variants,
        seed=recipe.seed,
        items=recipe.items,
        pictures=recipe.cache_dir.absolute() / PICTURES,
    )
    benches = [open_one(config) for config in recipe.benchmarks]
    check_protocol(recipe.protocol, benches)
    return benches


def evaluate_model(
    recipe: EvaluationRecipe,
    config: GeneratorConfig,
    benches: Sequence[Bench],
    executor: Executor,
    listener: Listener = silent,
) -> Evaluated:
    """One model's part of an evaluation; stores nothing but replies in the cache.

    Raises as `evaluate` does.
    """
    cache = recipe.cache_dir.absolute()
    part = _Part(recipe, config, config.fingerprint(), benches, cache, executor, listener)
    return part.evaluate(recipe.run_dir.absolute())


def model_evaluation_id(
    recipe: EvaluationRecipe, config: GeneratorConfig, benches: Sequence[Bench]
) -> str:
    """The id that `evaluate_model` gives its result. Raises ModelError."""
    return evaluation_identity(config, config.fingerprint(), asking(recipe), benches)


def asking(recipe: EvaluationRecipe) -> dict[str, Any]:
    """What decides the replies next to the model and the items."""
    return {"prompts": recipe.prompts.model_dump(mode="json"), "seed": recipe.seed}


def check_protocol(protocol: str, benches: Sequence[Bench]) -> None:
    """Refuse a protocol that has no rules for some items. Raises UsageError."""
    allowed = PROTOCOLS[protocol].answer_types
    for bench in benches:
        kinds = set(pc.unique(bench.varied["answer_type"]).to_pylist())
        if not kinds <= set(allowed):
            raise UsageError(
                f"benchmark {bench.name} has {', '.join(sorted(kinds - set(allowed)))} items, and "
                f"protocol {protocol} has rules for {', '.join(allowed)} alone; choose another "
                "protocol, or leave the benchmark out",
                code="protocol_unfit",
            )


def check_answered(found: Sequence[Evaluated], tolerance: float) -> None:
    """Raise LedgerError when a model left more predictions unanswered than tolerated."""
    for one in found:
        missing = one.predictions["reply"].null_count
        if missing > tolerance * one.predictions.num_rows:
            reasons = one.predictions["error"].drop_null().value_counts().to_pylist()
            first = max(reasons, key=lambda line: line["counts"])["values"] if reasons else "none"
            raise LedgerError(
                f"{one.model} gave no reply to {missing:,} of {one.predictions.num_rows:,} "
                f"requests (mostly: {first}); they are stored and count as wrong: run the same "
                "command to ask them again, or raise failures.tolerance",
                code="replies_missing",
            )


@dataclass(frozen=True, slots=True)
class _Part:
    """One model's way through all benchmarks."""

    recipe: EvaluationRecipe
    config: GeneratorConfig
    fingerprint: str
    benches: Sequence[Bench]
    cache: Path
    executor: Executor
    listener: Listener

    def evaluate(self, folder: Path) -> Evaluated:
        """Ask, score and summarise."""
        recipe = self.recipe
        identity = evaluation_identity(
            self.config, self.fingerprint, asking(self.recipe), self.benches
        )
        lineage = lineage_of(self.config)
        started, clock = datetime.now(UTC).replace(tzinfo=None), time.perf_counter()
        said = self._ask(identity, lineage, folder / "evaluations" / identity)
        seconds = time.perf_counter() - clock
        scored = score_predictions(said, recipe.protocol)
        if recipe.judge is not None:
            scored = judge(scored, recipe.judge, self.cache)
        metrics, reliability = summarise(scored, recipe.facets, recipe.resampling)
        lines = self._lines(identity, lineage, scored, started, seconds)
        return Evaluated(identity, self.config.name, scored, metrics, reliability, lines)

    def _ask(self, identity: str, lineage: Lineage, folder: Path) -> pa.Table:
        recipe = self.recipe
        known = {bench.name: bench.benchmark.content_hash for bench in self.benches}
        question = Question(recipe.prompts, recipe.seed, known)
        asked = [requests(question, self.config, bench) for bench in self.benches]
        items = pa.concat_tables([bench.benchmark.items for bench in self.benches])
        replies = collect_replies(
            (one for part in asked for one in part),
            self.config,
            partial(AskModel, self.config, items, recipe.seed, self.cache, self.fingerprint),
            self.executor,
            folder=folder,
            cache=self.cache,
            fingerprint=self.fingerprint,
            batch=recipe.compute.requests_per_batch,
            begin=lambda total: self.listener(StageStarted(self.config.name, total, "requests")),
            advance=_counter(self.config.name, self.listener),
        )
        head = {
            "evaluation_id": identity,
            "training_id": lineage.training_id,
            "model_hash": self.fingerprint[:16],
            "settings": as_json(self._settings()),
        }
        parts = [
            predictions(bench, own, replies, head)
            for bench, own in zip(self.benches, asked, strict=True)
        ]
        return pa.concat_tables(parts)

    def _settings(self) -> dict[str, Any]:
        """How the replies came about, for whoever reads them."""
        return asking(self.recipe) | {"model": self.config.model_dump(mode="json")}

    def _lines(
        self,
        identity: str,
        lineage: Lineage,
        scored: pa.Table,
        started: datetime,
        seconds: float,
    ) -> pa.Table:
        """The manifest's `evaluations`: one line a benchmark."""
        recipe = self.recipe
        shared: dict[str, Any] = {
            "evaluation_id": identity,
            "model": self.config.name,
            "model_hash": self.fingerprint[:16],
            "training_id": lineage.training_id,
            "contaminated": lineage.contaminated,
            "protocol": recipe.protocol,
            "seed": recipe.seed,
            "settings": as_json(
                self._settings()
                | {
                    "facets": list(recipe.facets),
                    "resampling": recipe.resampling.model_dump(mode="json"),
                }
            ),
            "packages": as_json(packages()),
            "created_at": started,
            "finished_at": datetime.now(UTC).replace(tzinfo=None),
            "seconds": seconds,
        }
        return pa.Table.from_pylist(
            [shared | _bench_line(bench, scored) for bench in self.benches], schema=EVALUATIONS
        )


EVALUATIONS: Final = arrow_schema("evaluations")
"""The manifest's table `evaluations`."""


def packages() -> dict[str, str]:
    """Versions of what decides replies and scores."""
    from importlib import metadata

    names = ("medsift", "torch", "transformers", "peft", "pyarrow", "numpy", "pillow", "rapidfuzz")
    return {name: metadata.version(name) for name in names}


def _bench_line(bench: Bench, scored: pa.Table) -> dict[str, Any]:
    own = scored.filter(pc.equal(scored["benchmark"], bench.name))
    return {
        "benchmark": bench.name,
        "files": list(bench.benchmark.files),
        "items": bench.benchmark.rows,
        "images": bench.benchmark.images,
        "content_hash": bench.benchmark.content_hash,
        "variants": list(bench.variants),
        "asked": own.num_rows,
        "left_out": as_json(bench.left_out),
        "unanswered": own["reply"].null_count,
        "tokens": pc.sum(own["tokens"]).as_py(),
    }


def _counter(stage: str, listener: Listener) -> Callable[[int], None]:
    done = 0

    def advance(rows: int) -> None:
        nonlocal done
        done += rows
        listener(StageAdvanced(stage, done))

    return advance
