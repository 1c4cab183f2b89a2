"""Train on Ray Train: the same steps as in one process, shared by workers that may be lost.

Rows stream to every worker by Ray Data, from Parquet that is written from the manifest: a worker
needs the training's folder, the model and the pictures, but no manifest. Which samples a step sees
follows from seed and step alone, so neither a restart nor another number of workers changes it. A
row is a few tokens and the paths of pictures; these are decoded in the background, by threads of
the worker or by Ray Data (`workers.decoding`), which streams them in the order of the plan.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

from medsift.errors import MedSiftError, ModelError, UsageError
from medsift.execution import Resources
from medsift.progress import silent
from medsift.storage.atomic import atomic_folder
from medsift.storage.mirror import discard, fetch, here, is_mirrored
from medsift.storage.stored_folder import copy_folder, fetch_folder
from ray_jobs.cluster import ADDRESS, connected
from ray_jobs.cluster_room import Request, require_room
from ray_jobs.console import one_line
from ray_jobs.event_queue import EventQueue, listen_while
from ray_jobs.executor import cluster_resources, worker_share
from ray_jobs.ray_checkpoints import SNAPSHOT, RayCheckpointStore, ray_storage
from ray_jobs.sharing import check_nodes
from ray_jobs.streaming import stream_pictures, stream_rows, write_rows
from training.dataset.samples import read_rows
from training.dataset.shared_tokens import SharedTokens, remove_tokens
from training.loop.checkpoint import OTHER_STORAGE, FolderCheckpointStore
from training.loop.distributed import Communicator, ProcessGroup, SingleProcess
from training.loop.logs import STEPS, publish_curves
from training.model.base_model import NO_GPU
from training.model.sharding import shard
from training.recipe import TrainingRecipe, WorkersConfig
from training.results.manifest_io import DROPS, KeptCheckpoint, list_kept
from training.run import Listener, Trained, run_worker, train_and_store
from training.training_id import CHECKPOINTS, RESULT, Training, open_training

ROWS: Final = "rows"
TOKENS: Final = "tokens"
FASTER_HEALTH_CHECKS: Final = ("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.5")
"""A report waits for Ray Train's next check; its default of two seconds exceeds many steps."""
NO_PREEMPTION_WATCHER: Final = ("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")
"""A local machine is never preempted: without the watcher there is one process less."""
MAX_START_ATTEMPTS: Final = 10
"""Attempts to start the workers, about a minute each, on a cluster without free resources."""


@dataclass(frozen=True, slots=True)
class WorkerOrder:
    """What every worker needs."""

    training: Training
    events: Any
    started: datetime


def train_on_ray(recipe: TrainingRecipe, listener: Listener = silent) -> Trained:
    """Train on Ray (see `connected`); paths of the recipe must be absolute.

    Lost workers are replaced, and training resumes from the newest checkpoint; so it does when the
    same training is started again. Ray is not started for a training that is refused or finished.

    Raises:
        UsageError: there are too few CPUs or GPUs, or another process runs this training.
        LedgerError: samples may be in a benchmark; see `check_contamination`.
        MedSiftError: as `train_here` does; what a worker raises arrives unchanged.
    """
    training = open_training(recipe)

    def fit(started: datetime) -> Sequence[KeptCheckpoint]:
        with connected():
            return _fit(training, listener, started)

    return train_and_store(training, fit)


def _fit(training: Training, listener: Listener, started: datetime) -> Sequence[KeptCheckpoint]:
    import ray.train
    from ray.train.torch import TorchTrainer

    ray_train: Any = ray.train
    home = training.home
    check_nodes([home], shared=training.recipe.workers.shared_disk)
    discard([home / CHECKPOINTS / SNAPSHOT])
    recipe = training.recipe
    rows = read_rows(
        training.manifest,
        training.run_id,
        training.selection,
        recipe.held_out_split,
        recipe.preferences,
    )
    write_rows(rows, home / ROWS)
    remove_tokens(home / TOKENS)
    events = EventQueue.start()
    os.environ.setdefault(*FASTER_HEALTH_CHECKS)
    if not os.environ.get(ADDRESS):
        os.environ.setdefault(*NO_PREEMPTION_WATCHER)
    files, root = ray_storage(home)
    trainer = TorchTrainer(
        train_loop_per_worker,
        train_loop_config={"order": WorkerOrder(training, events, started)},
        scaling_config=scaling(recipe.workers),
        run_config=ray_train.RunConfig(
            name=CHECKPOINTS,
            storage_path=root,
            storage_filesystem=files,
            failure_config=ray_train.FailureConfig(
                max_failures=recipe.workers.restarts, controller_failure_limit=MAX_START_ATTEMPTS
            ),
            callbacks=[stop_at_own_errors()],
            logging_config=ray_train.LoggingConfig(log_level="WARNING"),
        ),
    )
    listen_while(partial(_fit_explained, trainer.fit), events, listener)
    if is_mirrored(home):
        _bring(home, training)
    return list_kept(home / CHECKPOINTS)


def _bring(home: Path, training: Training) -> None:
    """Bring what the first worker wrote to this machine, and to the training's folder."""
    for name in (STEPS, DROPS):
        brought = fetch(home / name, again=True)
        if brought != here(training.folder / name):
            shutil.copyfile(brought, training.folder / name)
    if fetch_folder(home / RESULT) != here(training.result):
        with atomic_folder(training.result, OTHER_STORAGE) as unfinished:
            copy_folder(home / RESULT, unfinished)


def train_loop_per_worker(config: dict[str, WorkerOrder]) -> None:
    """Do one worker's part of the training, as Ray Train calls it."""
    import ray.train

    order, context = config["order"], ray.train.get_context()
    workers = order.training.recipe.workers
    communicator: Communicator = ProcessGroup() if context.get_world_size() > 1 else SingleProcess()
    training, first = order.training, communicator.rank == 0
    home = training.home
    folder = home if is_mirrored(home) else training.folder
    files = FolderCheckpointStore(
        home / CHECKPOINTS,
        training.recipe.checkpoints.keep,
        writes=first,
        curves=folder if first else None,
    )
    run_worker(
        training,
        RayCheckpointStore(files),
        communicator,
        folder,
        order.events.push.remote,
        order.started,
        (lambda ready: shard(ready.model)) if workers.strategy == "fsdp" else None,
        stream_pictures if workers.streams else None,
        stream_rows(home / ROWS),
        SharedTokens(home / TOKENS, communicator),
    )
    if first:
        publish_curves(folder)


def scaling(workers: WorkersConfig) -> Any:
    """Return Ray Train's number and size of workers. Raises UsageError on too small a machine."""
    import ray.train

    resources = cluster_resources()
    gpus = resources.get("GPU", 0.0) >= 1.0 if workers.gpus is None else workers.gpus
    # Ray Data decodes on the CPUs that the workers leave: it needs one at least.
    left = resources | {"CPU": resources.get("CPU", 0.0) - 1.0} if workers.streams else resources
    on_cluster = bool(os.environ.get(ADDRESS))
    if not on_cluster:
        _check_enough(workers, "GPU" if gpus else "CPU", left)
    count, min_count = workers.count, workers.min_count or workers.count
    cpus, _ = worker_share(Resources(accelerated=gpus), resources)
    if gpus and workers.streams:
        # Workers that occupied all CPUs would wait for pictures that no task can decode.
        cpus = 0.0
    elif workers.streams:
        count = max(min_count, min(count, int(left["CPU"])))
    if not gpus and not on_cluster:
        cpus = max(1.0, left["CPU"] // count)
    if on_cluster:
        require_room(Request("training worker(s)", min_count, cpus, 1.0 if gpus else 0.0))
    made: Any = ray.train.ScalingConfig
    return made(
        num_workers=count if min_count == count else (min_count, count),
        use_gpu=gpus,
        resources_per_worker={**({"CPU": cpus} if cpus else {}), **({"GPU": 1.0} if gpus else {})},
    )


def _check_enough(workers: WorkersConfig, kind: str, resources: dict[str, float]) -> None:
    """Refuse more workers than this machine has CPUs or GPUs; see `require_room` for clusters."""
    wanted, available = workers.min_count or workers.count, int(resources.get(kind, 0.0))
    if available >= wanted:
        return
    if kind == "GPU" and not available:
        message = f"workers.gpus: {NO_GPU.format(setting='workers.gpus')}"
        raise UsageError(message, code="gpu_missing", setting="workers.gpus")
    further = " besides the one that decodes" if workers.streams and kind == "CPU" else ""
    message = (
        f"{wanted} workers need as many {kind}s, and this machine has {available}{further}; "
        f"lower workers.count (and raise batches.grad_accumulation_steps), or set {ADDRESS} to "
        "a cluster"
    )
    raise UsageError(message, code="workers_too_many", wanted=wanted, available=available)


def stop_at_own_errors() -> Any:
    """Return a callback that ends training at a MedSiftError, which a restart would only repeat."""
    from ray.train import UserCallback

    class StopAtOwnErrors(UserCallback):
        def after_exception(
            self, run_context: Any, worker_exceptions: dict[int, Exception]
        ) -> None:
            for error in worker_exceptions.values():
                if isinstance(error, MedSiftError):
                    raise error

    return StopAtOwnErrors()


def _fit_explained(fit: Callable[[], Any]) -> None:
    """Train; raise the error that Ray Train wraps, or one line about its own."""
    from ray.train import ControllerError, WorkerGroupError

    try:
        fit()
    except ControllerError as error:
        if isinstance(error.controller_failure, MedSiftError):
            raise error.controller_failure from error
        raise UsageError(
            f"Ray Train could not start its workers: {one_line(error.controller_failure)[:300]}; "
            "lower workers.count, or check the cluster",
            code="workers_not_started",
        ) from error
    except WorkerGroupError as error:
        raise _error_to_raise(error) from error


def _error_to_raise(error: Any) -> Exception:
    """Return the error to raise: too many worker deaths, else the first application error."""
    from ray.exceptions import RayError

    failures: list[Exception] = list(error.worker_failures.values())
    deaths = [failure for failure in failures if hasattr(failure, "health_check_failure")]
    if not deaths and not any(isinstance(failure, RayError) for failure in failures):
        return failures[0]
    reason = one_line((deaths or failures)[0])[:300]
    return ModelError(
        f"workers were lost more often than workers.restarts allows; the last reported: {reason}; "
        "if memory ran out, lower batches.max_tokens or data.max_pixels, then run the command "
        "again",
        code="workers_lost",
    )
