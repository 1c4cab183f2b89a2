"""A training on Ray Train: the same work as alone, dealt out to workers that may be lost.

Rows stream to every worker by Ray Data, from Parquet that is laid down out of the manifest: a
worker reaches the training's folder, the model and the pictures, and needs no manifest. Which
samples a step sees follows from seed and step alone, so that neither a restart nor another number
of workers changes it. A row is a few tokens and the places of pictures; these are decoded in the
background, by threads of the worker or by Ray Data (`workers.decoding`), which streams them in the
order of the plan.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

from medsift.errors import MedSiftError, ModelError, UsageError
from medsift.execution import Resources
from medsift.progress import TrainingEvent, silent
from medsift.storage.locations import without_query
from ray_jobs.cluster import ADDRESS, connected
from ray_jobs.console import one_line
from ray_jobs.event_queue import Relay, listen_while
from ray_jobs.executor import cluster_resources, share
from ray_jobs.ray_checkpoints import RayKeeper, forget_notes
from ray_jobs.remote_dir import Store
from ray_jobs.sharing import check_nodes
from ray_jobs.streaming import stream_pictures, stream_rows, write_rows
from training.base_model import NO_GPU
from training.checkpoint import STATE, read_state, whole_folder
from training.distributed import Alone, Fleet, ProcessGroup
from training.logs import STEPS
from training.manifest_io import DROPS, Kept, kept_in
from training.prepare import Prepared
from training.recipe import TrainingRecipe, WorkersConfig
from training.rows import read_rows
from training.run import Listener, Trained, carry_out, work
from training.sharding import shard
from training.training_id import CHECKPOINTS, RESULT, Training, open_training

logger = logging.getLogger(__name__)

ROWS: Final = "rows"

POLLING: Final = ("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.5")
"""A report waits until Ray Train has looked; its own two seconds are longer than many steps."""

UNWATCHED: Final = ("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")
"""Nobody takes away the machine that one sits at, and who watches is a process of its own."""

WAITS: Final = 10
"""Minutes, as Ray Train asks for workers once in one, until a cluster without room is given up."""


@dataclass(frozen=True, slots=True)
class Order:
    """What every worker is told. `home` is the training's folder, wherever that is."""

    training: Training
    home: Store
    relay: Any
    started: datetime


def train_on_ray(recipe: TrainingRecipe, listener: Listener = silent) -> Trained:
    """Train on Ray (see `connected`); paths of the recipe must be absolute.

    Lost workers are replaced, and training goes on from the newest checkpoint; so it does when
    the whole is started again. Ray is not needed for what is refused, or finished already.

    Raises:
        UsageError: there are too few CPUs or GPUs, or another process is at work on this training.
        LedgerError: the gate is closed; see `pass_gate`.
        MedSiftError: as `train_here` does; what a worker raises arrives as it was.
    """
    training = open_training(recipe)

    def fit(started: datetime) -> Sequence[Kept]:
        with connected():
            return _fit(training, listener, started)

    return carry_out(training, fit)


def _fit(training: Training, listener: Listener, started: datetime) -> Sequence[Kept]:
    from ray.train.torch import TorchTrainer

    home = Store.at(training.storage).child(training.training_id)
    if not home.remote:
        check_nodes([training.folder])
    forget_notes(home.child(CHECKPOINTS))
    recipe = training.recipe
    rows = read_rows(training.manifest, training.run_id, training.selection, recipe.held_out_split)
    write_rows(rows, home.child(ROWS))
    relay = Relay.start()
    os.environ.setdefault(*POLLING)
    if not os.environ.get(ADDRESS):
        os.environ.setdefault(*UNWATCHED)
    trainer = TorchTrainer(
        follow,
        train_loop_config={"order": Order(training, home, relay, started)},
        scaling_config=scaling(recipe.workers),
        run_config=_run_config(training, home),
    )
    listen_while(partial(_explained, trainer.fit), relay, listener)
    if not home.remote:
        return kept_in(training.folder / CHECKPOINTS)
    _bring(home, training)
    return list(_kept_there(home, training))


def follow(config: dict[str, Order]) -> None:
    """One worker's part, as Ray Train calls it."""
    import ray.train

    order, context = config["order"], ray.train.get_context()
    fleet: Fleet = ProcessGroup() if context.get_world_size() > 1 else Alone()
    with tempfile.TemporaryDirectory(prefix="medsift-") as scratch:
        curves = Path(tempfile.mkdtemp(dir=scratch)) if order.home.remote else None
        keeper = RayKeeper(
            store=order.home.child(CHECKPOINTS),
            count=order.training.recipe.checkpoints.keep,
            first=fleet.rank == 0,
            scratch=Path(scratch),
            curves=curves,
        )
        folder = curves or order.training.folder
        listener = partial(_tell, order.relay)
        work(
            order.training,
            keeper,
            fleet,
            folder,
            listener,
            order.started,
            _ready(order),
            stream_pictures if order.training.recipe.workers.streams else None,
            stream_rows(order.home.child(ROWS)),
        )
        if curves is not None and fleet.rank == 0:
            order.home.put(curves)


def _ready(order: Order) -> Callable[[Prepared], None]:
    """What is done to the model before its first step."""
    if order.training.recipe.workers.strategy == "ddp":
        return lambda prepared: None
    return lambda prepared: shard(prepared.model)


def scaling(workers: WorkersConfig) -> Any:
    """How many workers, with what each. Raises UsageError where the machine has too little."""
    import ray.train

    held = cluster_resources()
    gpus = held.get("GPU", 0.0) >= 1.0 if workers.gpus is None else workers.gpus
    # Ray Data decodes on what is left.
    left = held | {"CPU": held.get("CPU", 0.0) - 1.0} if workers.streams else held
    _check_enough(workers, "GPU" if gpus else "CPU", left)
    count, least = workers.count, workers.min_count or workers.count
    cpus, _ = share(Resources(accelerated=gpus), held)
    if gpus and workers.streams:
        # Workers that held all CPUs would wait for pictures that nobody decodes.
        cpus = 0.0
    elif workers.streams:
        count = max(least, min(count, int(left["CPU"])))
    if not gpus and not os.environ.get(ADDRESS):
        cpus = max(1.0, left["CPU"] // count)
    made: Any = ray.train.ScalingConfig
    return made(
        num_workers=count if least == count else (least, count),
        use_gpu=gpus,
        resources_per_worker={**({"CPU": cpus} if cpus else {}), **({"GPU": 1.0} if gpus else {})},
    )


def _check_enough(workers: WorkersConfig, kind: str, held: dict[str, float]) -> None:
    least, found = workers.min_count or workers.count, int(held.get(kind, 0.0))
    if found >= least:
        return
    if os.environ.get(ADDRESS):
        logger.warning("the cluster has %d %ss of %d: waiting for more", found, kind, least)
    elif kind == "GPU" and not found:
        raise UsageError(
            f"workers.gpus: {NO_GPU.format(setting='workers.gpus')}",
            code="gpu_missing",
            setting="workers.gpus",
        )
    else:
        beside = " beside the one that decodes" if workers.streams and kind == "CPU" else ""
        raise UsageError(
            f"{least} workers are wanted, and this machine has {found} {kind}s{beside}; lower "
            f"workers.count (and raise batches.accumulation), or set {ADDRESS} to a cluster",
            code="workers_too_many",
            wanted=least,
            available=found,
        )


def _run_config(training: Training, home: Store) -> Any:
    import ray.train

    train: Any = ray.train
    recipe = training.recipe
    return train.RunConfig(
        name=CHECKPOINTS,
        storage_path=home.root,
        storage_filesystem=home.files,
        failure_config=train.FailureConfig(
            max_failures=recipe.workers.restarts, controller_failure_limit=WAITS
        ),
        callbacks=[own_errors()],
        logging_config=train.LoggingConfig(log_level="WARNING"),
    )


def own_errors() -> Any:
    """A callback that ends training at an error of ours: a second try would meet it again."""
    from ray.train import UserCallback

    class OwnErrors(UserCallback):
        def after_exception(
            self, run_context: Any, worker_exceptions: dict[int, Exception]
        ) -> None:
            ours = [one for one in worker_exceptions.values() if isinstance(one, MedSiftError)]
            if ours:
                raise ours[0]

    return OwnErrors()


def _explained(fit: Callable[[], Any]) -> None:
    """Train; what Ray Train wraps is raised as it was."""
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
        raise _lost(error) from error


def _lost(error: Any) -> Exception:
    """Workers that died again and again; or else the first error that is no one's death."""
    from ray.exceptions import RayError

    failures = error.worker_failures
    deaths = [one for one in failures.values() if hasattr(one, "health_check_failure")]
    if not deaths and not any(isinstance(one, RayError) for one in failures.values()):
        first: Exception = next(iter(failures.values()))
        return first
    reason = one_line((deaths or list(failures.values()))[0])[:300]
    return ModelError(
        f"workers were lost more often than workers.restarts allows; the last reported: {reason}; "
        "if memory ran out, lower batches.tokens or data.max_pixels, then run the command again",
        code="workers_lost",
    )


def _tell(relay: Any, event: TrainingEvent) -> None:
    relay.say.remote(event)


def _bring(home: Store, training: Training) -> None:
    """Fetch curves and result of a remote training onto this machine, what makes it whole last."""
    for name in (STEPS, DROPS):
        home.fetch_file(name, training.folder)
    with whole_folder(training.result) as unfinished:
        home.child(RESULT).fetch(unfinished)


def _kept_there(home: Store, training: Training) -> Iterator[Kept]:
    """The checkpoints of a remote training, by step."""
    place = f"{without_query(training.storage)}/{training.training_id}/{CHECKPOINTS}"
    checkpoints = home.child(CHECKPOINTS)
    for name in checkpoints.checkpoints():
        with tempfile.TemporaryDirectory(prefix="medsift-") as folder:
            checkpoints.child(name).fetch_file(STATE, Path(folder))
            state, _ = read_state(Path(folder))
        yield Kept(state.step, f"{place}/{name}", state.loss, state.held_out_loss)
