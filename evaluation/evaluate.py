"""Evaluate models on benchmarks: ask, score, and store everything in the manifest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from evaluation.evaluate_model import Evaluated, evaluate_model
from evaluation.manifest_io import ensure_run
from evaluation.open_benchmarks import open_benchmarks
from evaluation.recipe import EvaluationRecipe
from medsift.errors import LedgerError
from medsift.execution import Executor
from medsift.manifest import append_tables
from medsift.progress import Listener, silent
from medsift.vocabulary import MANIFEST_NAME


@dataclass(frozen=True, slots=True)
class EvaluationResult:
    """The result of an evaluation: its models, and the manifest that has their tables."""

    run_id: str
    manifest: Path
    models: tuple[Evaluated, ...]

    @property
    def metrics(self) -> pa.Table:
        """Metrics of all models."""
        return pa.concat_tables([model.metrics for model in self.models])

    @property
    def evaluations(self) -> pa.Table:
        """One row a model and benchmark, as in the manifest's `evaluations`."""
        return pa.concat_tables([model.evaluations for model in self.models])


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
    manifest = recipe.run_dir.absolute() / MANIFEST_NAME
    run_id = ensure_run(manifest, recipe.name)
    for config in recipe.models:
        config.fingerprint()  # a model that cannot be loaded is refused before the first request
    benchmarks = open_benchmarks(recipe)
    models = []
    for config in recipe.models:
        models.append(evaluate_model(recipe, config, benchmarks, executor, listener))
        append_tables(manifest, run_id, models[-1].tables)
    check_answered(models, recipe.failures.tolerance)
    return EvaluationResult(run_id, manifest, tuple(models))


def check_answered(models: Sequence[Evaluated], tolerance: float) -> None:
    """Raise LedgerError when a model left more predictions unanswered than tolerated."""
    for model in models:
        missing, asked = model.predictions["reply"].null_count, model.predictions.num_rows
        if missing > tolerance * asked:
            reasons = model.predictions["error"].drop_null().value_counts().to_pylist()
            most = max(reasons, key=lambda row: row["counts"])["values"] if reasons else "none"
            raise LedgerError(
                f"{model.model} gave no reply to {missing:,} of {asked:,} "
                f"requests (mostly: {most}); they are stored and count as wrong: run the same "
                "command to ask them again, or raise failures.tolerance",
                code="replies_missing",
                model=model.model,
                missing=missing,
                asked=asked,
            )
