"""The Ray executor: the same workers as on a laptop, streamed through Ray Data."""

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

if TYPE_CHECKING:
    from ray.data import Dataset

Item = TypeVar("Item")
Result = TypeVar("Result")


MOST_BLOCKS: Final = 1_000
MOST_AHEAD: Final = 16  # tasks submitted before their results are asked for, on small clusters
FEEDING: Final = 4  # CPUs that decode for one GPU
Batch = dict[str, Any]


class ItemRunner:
    """Turns items into Parquet parts; the worker is made for the first of them."""

    def __init__(self, make: Callable[[], Worker], out: Path) -> None:
        self.make = make
        self.out = out
        self.worker: Worker | None = None

    def __call__(self, batch: Batch) -> Batch:
        """Run the one item of the batch; return its rows, or our error.

        An error of ours travels as a value: Ray keeps only the text of what a worker raises.
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
    """Runs items on the Ray that this process is connected to.

    Only items (references, texts, places in files) and row counts pass through Ray Data; what a
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
        """Stream items through an actor pool; raises what the worker raised."""
        import ray

        if not items:
            return
        quiet()
        begin_stream(items, out)
        lines = [{"ordinal": ordinal, "item": pack(item)} for ordinal, item in enumerate(items)]
        source = ray.data.from_items(lines, override_num_blocks=min(len(lines), MOST_BLOCKS))
        done = _spread(source, ItemRunner(make, out.absolute()), resources)
        for line in done.iter_rows():
            if line["error"]:
                raise pickle.loads(line["error"])
            advance(int(line["rows"]))
        end_stream(items, out)

    def run(self, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterable[Result]:
        """Apply `function` in Ray tasks; results come in the order of the items."""
        import ray

        # The function may hold whole matrices: it goes to the object store once.
        held = ray.put(function)
        call: Any = ray.remote(_call)
        window = max(MOST_AHEAD, 4 * int(cluster_resources().get("CPU", 1)))
        waiting = iter(items)
        # Results wait in the object store until they are asked for: only so many may.
        ahead = deque(call.remote(held, item) for item in islice(waiting, window))
        while ahead:
            result, problem = ray.get(ahead.popleft())
            if problem is not None:
                raise pickle.loads(problem)
            ahead.extend(call.remote(held, item) for item in islice(waiting, 1))
            yield result


def _call(function: Callable[[Item], Result], item: Item) -> tuple[Result | None, bytes | None]:
    """The result, or our error as a value, as `ItemRunner` hands it on."""
    try:
        return function(item), None
    except MedSiftError as problem:
        return None, pickle.dumps(problem)


def _spread(source: Dataset, runner: ItemRunner, resources: Resources) -> Dataset:
    """Lasting workers run in an actor pool, which grows with the cluster; others in tasks."""
    import ray

    cpus, gpus = share(resources, cluster_resources())
    if not resources.lasting:
        run_batch: Any = runner.__call__
        return source.map_batches(run_batch, batch_size=1, num_cpus=cpus, num_gpus=gpus)
    return source.map_batches(
        ItemRunner,
        fn_constructor_args=(runner.make, runner.out),
        batch_size=1,
        num_cpus=cpus,
        num_gpus=gpus,
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=None),
    )


def cluster_resources() -> dict[str, float]:
    """The resources of the Ray that this process is connected to."""
    import ray

    ask: Any = ray.cluster_resources
    return dict(ask())


def share(resources: Resources, cluster: Mapping[str, float]) -> tuple[float, float]:
    """CPUs and GPUs of one worker on a cluster with these resources.

    The cluster decides, not the machine that asks: a head often has no GPU. A worker with a GPU
    takes the CPUs that fall to it, `FEEDING` at most.
    """
    gpus = cluster.get("GPU", 0.0)
    if not resources.accelerated or gpus < 1.0:
        return resources.cpus, 0.0
    fair = int(cluster.get("CPU", 1.0) // gpus)
    return max(resources.cpus, min(FEEDING, fair)), 1.0


def quiet() -> None:
    """Our listener reports progress; Ray Data's own bars and notices stay in its log files."""
    import ray

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    # It warns that the bars are off, which is what we asked for.
    logging.getLogger("ray.data._internal.progress").setLevel(logging.ERROR)
