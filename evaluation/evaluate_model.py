"""Evaluate one model: ask it about every item and variant, score the replies, sum them up."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from evaluation.generators import GeneratorConfig
from evaluation.inference import AskModel, ModelRequest, RequestBuilder, collect_replies
from evaluation.judge import judge
from evaluation.manifest_io import EvaluationTables
from evaluation.metrics_table import summarise
from evaluation.open_benchmarks import OpenBenchmark
from evaluation.recipe import EvaluationRecipe
from evaluation.records import PREDICTIONS
from evaluation.scoring.predictions import score_predictions
from medsift import records
from medsift.errors import InputError
from medsift.execution import Executor
from medsift.manifest.schema import arrow_schema
from medsift.progress import Listener, StageStarted, count_rows, silent
from medsift.storage.mirror import is_mirrored
from medsift.storage.stored_folder import fetch_folder, has_folder
from medsift.vocabulary import LINEAGE_NAME

EVALUATIONS: Final = arrow_schema("evaluations")
"""The manifest's table `evaluations`."""
ID_DIGITS: Final = 10
LINEAGE: Final = ("training_id", "contaminated")
PACKAGES: Final = (
    "medsift",
    "torch",
    "transformers",
    "peft",
    "pyarrow",
    "numpy",
    "pillow",
    "rapidfuzz",
)
"""Packages whose versions decide replies and scores."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated(EvaluationTables):
    """One model's part of an evaluation."""

    model: str


def evaluate_model(
    recipe: EvaluationRecipe,
    config: GeneratorConfig,
    benchmarks: Sequence[OpenBenchmark],
    executor: Executor,
    listener: Listener = silent,
) -> Evaluated:
    """Ask, score and sum up one model; nothing is stored but replies in the cache.

    Args:
        recipe: The evaluation.
        config: One of its models.
        benchmarks: Its benchmarks, as `open_benchmarks` reads them.
        executor: Runs the batches of requests.
        listener: Called after every batch.

    Raises MedSiftError as `evaluate` does.
    """
    fingerprint = config.fingerprint()
    identity = model_evaluation_id(recipe, config, fingerprint, benchmarks)
    shared: dict[str, Any] = {
        "evaluation_id": identity,
        "model_hash": fingerprint[:16],
        **lineage_of(config),
    }
    settings = _reply_settings(recipe) | {"model": config.model_dump(mode="json")}
    started, clock = datetime.now(UTC).replace(tzinfo=None), time.perf_counter()
    columns = shared | {"settings": _as_json(settings)}
    replied = _predictions(recipe, config, fingerprint, benchmarks, executor, listener, columns)
    seconds = time.perf_counter() - clock
    scored = score_predictions(replied, recipe.protocol)
    if recipe.judge is not None:
        scored = judge(scored, recipe.judge, recipe.cache_dir.absolute())
    metrics, reliability = summarise(scored, recipe.facets, recipe.resampling)
    settings |= {
        "facets": list(recipe.facets),
        "resampling": recipe.resampling.model_dump(mode="json"),
    }
    shared |= {
        "model": config.name,
        "protocol": recipe.protocol,
        "seed": recipe.seed,
        "settings": _as_json(settings),
        "packages": _as_json({name: metadata.version(name) for name in PACKAGES}),
        "created_at": started,
        "finished_at": datetime.now(UTC).replace(tzinfo=None),
        "seconds": seconds,
    }
    rows = [shared | _benchmark_columns(benchmark, scored) for benchmark in benchmarks]
    return Evaluated(
        evaluation_id=identity,
        model=config.name,
        predictions=scored,
        metrics=metrics,
        reliability=reliability,
        evaluations=pa.Table.from_pylist(rows, schema=EVALUATIONS),
    )


def lineage_of(config: GeneratorConfig) -> dict[str, Any]:
    """Return the training behind a model, and whether it was allowed despite leaks.

    They are read from its adapter, or from a model trained in full; both are None for another.
    Raises InputError where the lineage cannot be read.
    """
    model = getattr(config, "model", None)
    trained = getattr(config, "adapter", None) or getattr(model, "model", None)
    folder = Path(trained or ".").expanduser()
    path = folder / LINEAGE_NAME
    if is_mirrored(folder) and has_folder(folder):
        fetch_folder(folder)
    if trained is None or not path.is_file():
        return dict.fromkeys(LINEAGE)
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        return {name: stored[name] for name in LINEAGE}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is no lineage: {error}; put back the folder as training wrote it",
            code="lineage_unreadable",
            path=str(path),
        ) from error


def _reply_settings(recipe: EvaluationRecipe) -> dict[str, Any]:
    """Return what decides the replies next to the model and the items."""
    return {"prompts": recipe.prompts.model_dump(mode="json"), "seed": recipe.seed}


def model_evaluation_id(
    recipe: EvaluationRecipe,
    config: GeneratorConfig,
    fingerprint: str,
    benchmarks: Sequence[OpenBenchmark],
) -> str:
    """Return the id of what decides the predictions: the same again is the same evaluation.

    Args:
        recipe: has the prompts and the seed; its other settings do not change the id.
        config: the generator; its name begins the id.
        fingerprint: the generator's, of its weights and settings.
        benchmarks: what is asked, with the variants of its items.
    """
    asked = [[one.name, one.benchmark.content_hash, *one.variants] for one in benchmarks]
    rows = [one.varied.num_rows for one in benchmarks]
    digest = records.fingerprint([fingerprint, _reply_settings(recipe), asked, rows])
    return f"{config.name}-{digest[:ID_DIGITS]}"


def _predictions(
    recipe: EvaluationRecipe,
    config: GeneratorConfig,
    fingerprint: str,
    benchmarks: Sequence[OpenBenchmark],
    executor: Executor,
    listener: Listener,
    shared: Mapping[str, Any],
) -> pa.Table:
    """Ask for the replies and return them as ``PREDICTIONS``; `shared` has the columns of all."""
    cache = recipe.cache_dir.absolute()
    hashes = {one.name: one.benchmark.content_hash for one in benchmarks}
    builder = RequestBuilder(recipe.prompts, recipe.seed, hashes)
    requests = [
        [builder.build(item, config) for item in one.varied.to_pylist()] for one in benchmarks
    ]
    items = pa.concat_tables([one.benchmark.items for one in benchmarks])
    replies = collect_replies(
        (request for part in requests for request in part),
        config,
        partial(AskModel, config, items, recipe.seed, cache, fingerprint),
        executor,
        folder=recipe.run_dir.absolute() / "evaluations" / shared["evaluation_id"],
        cache=cache,
        fingerprint=fingerprint,
        batch=recipe.compute.requests_per_batch,
        begin=lambda total: listener(StageStarted(config.name, total, "requests")),
        advance=count_rows(config.name, listener),
    )
    return pa.concat_tables(
        _benchmark_predictions(benchmark.varied, own, replies, shared)
        for benchmark, own in zip(benchmarks, requests, strict=True)
    )


def _benchmark_predictions(
    varied: pa.Table, requests: Sequence[ModelRequest], replies: pa.Table, shared: Mapping[str, Any]
) -> pa.Table:
    """Return each item and variant with the reply to its request."""
    row_of = {key: row for row, key in enumerate(replies["request_id"].to_pylist())}
    own = replies.take(pa.array([row_of[one.request_id] for one in requests], pa.int64()))
    prompts = [records.digest(*(part for turn in one.turns for part in turn)) for one in requests]
    columns = {name: varied[name] for name in varied.column_names if name in PREDICTIONS.names}
    columns |= {name: own[name] for name in ("reply", "error", "probabilities", "tokens")}
    columns["prompt_hash"] = pa.array([digest[:16] for digest in prompts], pa.string())
    columns |= {name: pa.repeat(value, len(requests)) for name, value in shared.items()}
    return pa.table({field.name: columns[field.name].cast(field.type) for field in PREDICTIONS})


def _benchmark_columns(benchmark: OpenBenchmark, scored: pa.Table) -> dict[str, Any]:
    """Return the columns of `evaluations` that differ between benchmarks."""
    own = scored.filter(pc.equal(scored["benchmark"], benchmark.name))
    return {
        "benchmark": benchmark.name,
        "files": list(benchmark.benchmark.files),
        "items": benchmark.benchmark.rows,
        "images": benchmark.benchmark.images,
        "content_hash": benchmark.benchmark.content_hash,
        "variants": list(benchmark.variants),
        "asked": own.num_rows,
        "left_out": _as_json(benchmark.left_out),
        "unanswered": own["reply"].null_count,
        "tokens": pc.sum(own["tokens"]).as_py(),
    }


def _as_json(value: Any) -> str:
    """Return JSON with sorted keys, as the manifest keeps it."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
