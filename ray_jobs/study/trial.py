"""Run a trial: train and evaluate a model, locally or as a Ray task; no manifest is written."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Iterator, Sequence
from typing import Any

from evaluation.evaluate_model import Evaluated, evaluate_model
from evaluation.open_benchmarks import OpenBenchmark
from medsift.errors import MedSiftError, ModelError
from medsift.execution import LocalExecutor, Resources
from medsift.progress import silent
from medsift.storage.run_lock import claimed
from ray_jobs.cluster_room import Request, require_room
from ray_jobs.executor import call_caught, cluster_resources, worker_share
from ray_jobs.study.plan import PlannedTrial
from ray_jobs.study.recipe import StudyCompute
from training.loop.distributed import SingleProcess
from training.loop.logs import publish_curves
from training.results.output_dir import has_result
from training.run import checkpoint_store, now, run_worker
from training.training_id import Training

logger = logging.getLogger(__name__)

Outcome = Evaluated | MedSiftError
"""The outcome of a trial: its evaluation, or the error that left it without one."""


def run_trial(trial: PlannedTrial, benchmarks: Sequence[OpenBenchmark]) -> Evaluated:
    """Train from the newest checkpoint on, unless that is done; then evaluate on every item.

    Raises MedSiftError as training and evaluation do.
    """
    if trial.training is not None:
        _train(trial.training)
    [model] = trial.evaluation.models
    return evaluate_model(trial.evaluation, model, benchmarks, LocalExecutor())


def run_trials_locally(
    trials: Sequence[PlannedTrial], benchmarks: Sequence[OpenBenchmark]
) -> Iterator[tuple[PlannedTrial, Outcome]]:
    """Yield every trial with its outcome, one after another in this process."""
    for trial in trials:
        try:
            yield trial, run_trial(trial, benchmarks)
        except MedSiftError as problem:
            yield trial, problem


def run_trials_on_ray(
    trials: Sequence[PlannedTrial], benchmarks: Sequence[OpenBenchmark], compute: StudyCompute
) -> Iterator[tuple[PlannedTrial, Outcome]]:
    """Yield every trial with its outcome, in the order in which Ray tasks finish.

    A worker that dies is replaced, and resumes from the checkpoint. Tasks are cancelled when the
    caller stops iterating.
    """
    import ray

    stored = ray.put(list(benchmarks))
    cpus, gpus = float(compute.cpus_per_trial), compute.gpus_per_trial
    if gpus is None:
        needs = Resources(cpus=compute.cpus_per_trial, accelerated=True)
        cpus, gpus = worker_share(needs, cluster_resources())
    require_room(Request("trial(s)", cpus=cpus, gpus=gpus))
    call: Any = ray.remote(num_cpus=cpus, num_gpus=gpus)(call_caught)
    running: dict[Any, PlannedTrial] = {
        call.remote(run_trial, trial, stored): trial for trial in trials
    }
    try:
        while running:
            [done], _ = ray.wait(list(running), num_returns=1)
            yield running.pop(done), _outcome(done)
    finally:
        for task in running:
            ray.cancel(task, force=True)


def _train(training: Training) -> None:
    with claimed(training.folder, what="training"):
        if has_result(training):
            return
        store = checkpoint_store(training)
        run_worker(training, store, SingleProcess(), training.folder, silent, now())
        publish_curves(training.folder)


def _outcome(task: Any) -> Outcome:
    """Return the outcome of a task. A worker that keeps dying fails only its own trial."""
    import ray
    from ray.exceptions import RayError

    try:
        evaluated, problem = ray.get(task)
    except RayError as error:
        logger.debug("a trial ended unexpectedly", exc_info=error)
        reason = " ".join(str(error).split())[-300:]
        return ModelError(
            f"its worker ended: {reason}; run the same command to try it again", code="workers_lost"
        )
    outcome: Outcome = evaluated if problem is None else pickle.loads(problem)
    return outcome
