"""Store a study in the manifest: each trial as it finishes, and at the end the results."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from evaluation.evaluate import check_answered
from evaluation.evaluate_model import Evaluated, model_evaluation_id
from evaluation.study_scores import Trial
from medsift.manifest import append_tables, read
from medsift.manifest.evaluation_queries import ASKED, read_evaluation
from medsift.manifest.schema import arrow_schema
from medsift.storage.run_lock import claimed
from ray_jobs.study.plan import PlannedTrial, StudyPlan
from training.results.lineage import versions
from training.results.manifest_io import list_kept, store_failed, store_finished
from training.results.output_dir import has_result, renew_card
from training.training_id import CHECKPOINTS, Training


@dataclass(frozen=True, slots=True)
class FinishedTrial:
    """A stored trial with its evaluation, or with the `error` that left it without one."""

    planned: PlannedTrial
    evaluation_id: str | None
    error: str | None = None


def find_finished_trial(plan: StudyPlan, trial: PlannedTrial) -> FinishedTrial | None:
    """Return the trial as an earlier study stored it; None where anything is missing."""
    if trial.training is not None and not has_result(trial.training):
        return None
    [model] = trial.evaluation.models
    evaluation = model_evaluation_id(trial.evaluation, model, model.fingerprint(), plan.benchmarks)
    wanted = {"run": plan.run.run_id, "evaluation": evaluation}
    rows = read(plan.run.manifest, ASKED, wanted | {"protocol": trial.evaluation.protocol})
    asked = {benchmark.name: benchmark.varied.num_rows for benchmark in plan.benchmarks}
    stored = dict(zip(rows["benchmark"].to_pylist(), rows["asked"].to_pylist(), strict=True))
    if stored != asked or pc.sum(rows["unanswered"]).as_py():
        return None
    return FinishedTrial(trial, evaluation)


def store_trial(plan: StudyPlan, trial: PlannedTrial, evaluated: Evaluated) -> FinishedTrial:
    """Store training and evaluation of a trial.

    Raises LedgerError, after storing all, when too many requests have no reply; ManifestError or
    StorageError.
    """
    run = plan.run
    if trial.training is not None:
        store_finished(trial.training, _kept(trial.training))
    with claimed(run.run_dir, wait=True):
        append_tables(run.manifest, run.run_id, evaluated.tables)
    if trial.training is not None:
        renew_card(trial.training)
    check_answered([evaluated], trial.evaluation.failures.tolerance)
    return FinishedTrial(trial, evaluated.evaluation_id)


def store_failed_trial(trial: PlannedTrial, started: datetime) -> None:
    """Store how far the training of a failed trial came. Raises ManifestError or StorageError."""
    if trial.training is None:
        return
    if has_result(trial.training):
        store_finished(trial.training, _kept(trial.training))
    else:
        store_failed(trial.training, started)


def read_trial(plan: StudyPlan, done: FinishedTrial) -> Trial:
    """Return a finished trial with its predictions. Raises ManifestError."""
    assert done.evaluation_id is not None
    trial, run = done.planned, plan.run
    predictions = read_evaluation(run.manifest, run.run_id, done.evaluation_id, "predictions")
    return Trial(trial.arm, trial.budget, trial.samples, trial.seed, predictions)


def store_study(
    plan: StudyPlan, trials: Sequence[FinishedTrial], results: pa.Table, started: datetime
) -> None:
    """Write the study, its trials and its results. Raises ManifestError or StorageError.

    Args:
        plan: the study, and the run whose manifest is written.
        trials: all of them; one with an error makes the study incomplete.
        results: rows of `study_results`, without the id of the study.
        started: the study's start, UTC.
    """
    recipe, failed = plan.recipe, sum(trial.error is not None for trial in trials)
    study = {
        "study_id": plan.study_id,
        "name": recipe.name,
        "created_at": started,
        "finished_at": datetime.now(UTC).replace(tzinfo=None),
        "status": "incomplete" if failed else "done",
        "trials": len(trials),
        "failed": failed,
        "seeds": list(recipe.seeds),
        "same": recipe.equalise,
        "margin": recipe.margin,
        "benchmarks": [benchmark.name for benchmark in plan.benchmarks],
        "protocol": recipe.evaluation.protocol,
        "contaminated": plan.contaminated,
        "recipe": json.dumps(recipe.resolved(), sort_keys=True, ensure_ascii=False),
        "packages": json.dumps(versions(), sort_keys=True),
    }
    rows = {"studies": [study], "study_trials": [_trial_row(plan, trial) for trial in trials]}
    tables = {
        name: pa.Table.from_pylist(lines, schema=arrow_schema(name)) for name, lines in rows.items()
    }
    ids = pa.array([plan.study_id] * results.num_rows, pa.string())
    tables["study_results"] = results.append_column("study_id", ids)
    with claimed(plan.run.run_dir, wait=True):
        append_tables(plan.run.manifest, plan.run.run_id, tables)


def _trial_row(plan: StudyPlan, trial: FinishedTrial) -> dict[str, Any]:
    planned = trial.planned
    return {
        "study_id": plan.study_id,
        "arm": planned.arm,
        "budget": planned.budget,
        "samples": planned.samples,
        "seed": planned.seed,
        "status": "failed" if trial.error is not None else "done",
        "error": trial.error,
        "selection": planned.selection,
        "training_id": planned.training.training_id if planned.training else None,
        "evaluation_id": trial.evaluation_id,
    }


def _kept(training: Training) -> list[Any]:
    return list(list_kept(training.home / CHECKPOINTS))
