"""Run the workers of a stage on Ray: the same as on a laptop, streamed through Ray Data."""

from __future__ import annotations

import logging
import pickle
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np

from medsift.errors import MedSiftError
from medsift.execution import Resources, Worker, begin_stream, end_stream, pack, run_item
from ray_jobs.cluster_room import Request, require_room

if TYPE_CHECKING:
    from ray.data import Dataset

Item = TypeVar("Item")
Result = TypeVar("Result")


MAX_BLOCKS: Final = 1_000
"""Blocks of a Ray data set: more cost scheduling time, and no cluster has so many free CPUs."""
MIN_TASKS_AHEAD: Final = 16
"""Tasks submitted before their results are fetched, on small clusters too."""
MAX_CPUS_PER_GPU: Final = 4
"""CPUs of a worker with a GPU, which decode for it."""
Batch = dict[str, Any]


class ItemRunner:
    """Turn items into Parquet parts; the worker is made for the first of them."""

    def __init__(self, make: Callable[[], Worker], out: Path) -> None:
        self.make = make
        self.out = out
        self.worker: Worker | None = None

    def __call__(self, batch: Batch) -> Batch:
        """Run the one item of the batch; return its number of rows, or a MedSiftError.

        The error is returned as a value, because Ray keeps only the text of what a worker raises.
        """
        rows, error = 0, b""
        try:
            if self.worker is None:
                self.worker = self.make()
            item = pickle.loads(batch["item"][0])
            rows = run_item(self.worker, item, self.out, int(batch["ordinal"][0]))
        except MedSiftError as problem:
            error = pickle.dumps(problem)
        return {"rows": np.asarray([rows]), "error": np.asarray([error], dtype=object)}


@dataclass(frozen=True, slots=True)
class RayExecutor:
    """Run items on the Ray that this process is connected to.

    Only items (references, texts, positions in files) and row counts pass through Ray Data; what a
    worker makes goes straight to Parquet.
    """

    def stream(
        self,
        items: Sequence[Any],
        make: Callable[[], Worker],
        out: Path,
        advance: Callable[[int], None],
        resources: Resources = Resources(),  # noqa: B008 - frozen
    ) -> None:
        """Stream items through the workers. Raises what a worker raised."""
        import ray

        if not items:
            return
        silence_ray_data()
        begin_stream(items, out)
        rows = [{"ordinal": ordinal, "item": pack(item)} for ordinal, item in enumerate(items)]
        source = ray.data.from_items(rows, override_num_blocks=min(len(rows), MAX_BLOCKS))
        done = _map_items(source, ItemRunner(make, out.absolute()), resources)
        for row in done.iter_rows():
            if row["error"]:
                raise pickle.loads(row["error"])
            advance(int(row["rows"]))
        end_stream(items, out)

    def run(self, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterable[Result]:
        """Apply `function` in Ray tasks; results come in the order of the items."""
        import ray

        # The function may contain whole matrices: it goes to the object store once.
        stored = ray.put(function)
        call: Any = ray.remote(call_caught)
        window = max(MIN_TASKS_AHEAD, 4 * int(cluster_resources().get("CPU", 1)))
        waiting = iter(items)
        # Results stay in the object store until they are fetched: a window bounds their memory.
        ahead = deque(call.remote(stored, item) for item in islice(waiting, window))
        while ahead:
            result, problem = ray.get(ahead.popleft())
            if problem is not None:
                raise pickle.loads(problem)
            ahead.extend(call.remote(stored, item) for item in islice(waiting, 1))
            yield result


def call_caught(
    function: Callable[..., Result], *arguments: Any
) -> tuple[Result | None, bytes | None]:
    """Return the result, or a MedSiftError as a value; see `ItemRunner`."""
    try:
        return function(*arguments), None
    except MedSiftError as problem:
        return None, pickle.dumps(problem)


def _map_items(source: Dataset, runner: ItemRunner, resources: Resources) -> Dataset:
    """Map items by an actor pool, which grows with the cluster, or by tasks for light workers."""
    import ray

    cpus, gpus = worker_share(resources, cluster_resources())
    require_room(Request("worker(s)", cpus=cpus, gpus=gpus))
    shared: dict[str, Any] = {"batch_size": 1, "num_cpus": cpus, "num_gpus": gpus}
    if not resources.lasting:
        run_batch: Any = runner.__call__
        return source.map_batches(run_batch, **shared)
    pool, made_of = ray.data.ActorPoolStrategy(min_size=1, max_size=None), (runner.make, runner.out)
    return source.map_batches(ItemRunner, fn_constructor_args=made_of, compute=pool, **shared)


def cluster_resources() -> dict[str, float]:
    """Return the resources of the Ray that this process is connected to."""
    import ray

    ask: Any = ray.cluster_resources
    return dict(ask())


def worker_share(resources: Resources, cluster: Mapping[str, float]) -> tuple[float, float]:
    """Return the CPUs and GPUs of one worker on a cluster with these resources.

    The cluster decides, not the machine that asks: a head often has no GPU. A worker with a GPU
    takes an equal share of the CPUs, `MAX_CPUS_PER_GPU` at most.
    """
    gpus = cluster.get("GPU", 0.0)
    if not resources.accelerated or gpus < 1.0:
        return resources.cpus, 0.0
    fair = int(cluster.get("CPU", 1.0) // gpus)
    return max(resources.cpus, min(MAX_CPUS_PER_GPU, fair)), 1.0


def silence_ray_data() -> None:
    """Keep Ray Data's bars and notices in its log files: MedSift reports the progress itself."""
    import ray

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    # It warns that the bars are off, which is what we asked for.
    logging.getLogger("ray.data._internal.progress").setLevel(logging.ERROR)
