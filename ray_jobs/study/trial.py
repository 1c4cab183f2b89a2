"""One trial: a model trained and evaluated, here or as a Ray task, which writes no manifest."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from evaluation.build_predictions import Bench
from evaluation.evaluate import Evaluated, evaluate_model
from medsift.errors import MedSiftError, ModelError
from medsift.execution import LocalExecutor, Resources
from medsift.progress import silent
from medsift.storage.run_lock import claimed
from ray_jobs.study.plan import Planned
from ray_jobs.study.recipe import StudyCompute
from training.checkpoint import FolderKeeper
from training.distributed import Alone
from training.output_dir import finished
from training.run import now, work
from training.training_id import CHECKPOINTS, Training

logger = logging.getLogger(__name__)

Outcome = Evaluated | MedSiftError
"""What became of a trial: its evaluation, or why there is none."""


def carry_out(trial: Planned, benches: Sequence[Bench]) -> Evaluated:
    """Train, unless that is done, from the newest checkpoint on; then ask about every item.

    Raises MedSiftError as training and evaluation do.
    """
    if trial.training is not None:
        _train(trial.training)
    [model] = trial.evaluation.models
    return evaluate_model(trial.evaluation, model, benches, LocalExecutor())


def outcomes_here(
    trials: Sequence[Planned], benches: Sequence[Bench]
) -> Iterator[tuple[Planned, Outcome]]:
    """Every trial with its outcome, one after another in this process."""
    for trial in trials:
        try:
            yield trial, carry_out(trial, benches)
        except MedSiftError as problem:
            yield trial, problem


def outcomes_on_ray(
    trials: Sequence[Planned], benches: Sequence[Bench], compute: StudyCompute
) -> Iterator[tuple[Planned, Outcome]]:
    """Every trial with its outcome, as they finish, on the Ray that this process is connected to.

    A worker that dies is replaced, and goes on from the checkpoint. Tasks are taken back when
    the caller stops asking.
    """
    import ray

    held = ray.put(list(benches))
    cpus, gpus = _share(compute)
    call: Any = ray.remote(num_cpus=cpus, num_gpus=gpus)(_carry_out_there)
    under_way: dict[Any, Planned] = {call.remote(trial, held): trial for trial in trials}
    try:
        while under_way:
            [done], _ = ray.wait(list(under_way), num_returns=1)
            yield under_way.pop(done), _outcome(done)
    finally:
        for task in under_way:
            ray.cancel(task, force=True)


def _train(training: Training) -> None:
    with claimed(training.folder, what="training"):
        if finished(training):
            return
        keeper = FolderKeeper(training.folder / CHECKPOINTS, training.recipe.checkpoints.keep)
        work(training, keeper, Alone(), training.folder, silent, now())


def _carry_out_there(
    trial: Planned, benches: Sequence[Bench]
) -> tuple[Evaluated | None, bytes | None]:
    """The evaluation, or our error as a value: Ray keeps only the text of what a task raises."""
    try:
        return carry_out(trial, benches), None
    except MedSiftError as problem:
        return None, pickle.dumps(problem)


def _outcome(task: Any) -> Outcome:
    """What a task came to. A worker that died again and again fails its trial alone."""
    import ray
    from ray.exceptions import RayError

    try:
        found, problem = ray.get(task)
    except RayError as error:
        logger.debug("a trial ended unexpectedly", exc_info=error)
        reason = " ".join(str(error).split())[-300:]
        return ModelError(
            f"its worker ended: {reason}; run the same command to try it again",
            code="workers_lost",
        )
    if problem is not None:
        ours: MedSiftError = pickle.loads(problem)
        return ours
    evaluated: Evaluated = found
    return evaluated


def _share(compute: StudyCompute) -> tuple[float, float]:
    """CPUs and GPUs of a trial."""
    from ray_jobs.executor import cluster_resources, share

    held: Mapping[str, float] = cluster_resources()
    if compute.gpus_per_trial is not None:
        return float(compute.cpus_per_trial), compute.gpus_per_trial
    return share(Resources(cpus=compute.cpus_per_trial, accelerated=True), held)
