"""The Ray executor: the same workers as on a laptop, streamed through Ray Data."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from curation.errors import MedSiftError
from curation.execution import Resources, Worker, run_item

Item = TypeVar("Item")
Result = TypeVar("Result")


class ItemActor:
    """A Ray Data actor: builds its worker once, then turns items into Parquet parts."""

    def __init__(self, items: Any, make: Callable[[], Worker], out: Path) -> None:
        import ray

        self.items: Sequence[Any] = ray.get(items)
        self.worker = make()
        self.out = out

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Run the one item whose ordinal is in the batch; return its rows, or our error.

        An error of ours travels as a value: Ray keeps only the text of what a worker raises.
        """
        ordinal = int(batch["item"][0])
        try:
            rows = run_item(self.worker, self.items[ordinal], self.out, ordinal)
        except MedSiftError as error:
            return {
                "rows": np.asarray([0]),
                "error": np.asarray([pickle.dumps(error)], dtype=object),
            }
        return {"rows": np.asarray([rows]), "error": np.asarray([b""], dtype=object)}


@dataclass(frozen=True, slots=True)
class RayExecutor:
    """Runs items on the Ray that this process is connected to.

    Only ordinals and row counts pass through Ray Data; items travel once through the object
    store, and what a worker makes goes straight to Parquet.
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
        _quiet()
        source = ray.data.from_items(
            [{"item": ordinal} for ordinal in range(len(items))], override_num_blocks=len(items)
        )
        done = source.map_batches(
            ItemActor,
            fn_constructor_args=(ray.put(list(items)), make, out.absolute()),
            batch_size=1,
            num_cpus=resources.cpus,
            num_gpus=resources.gpus,
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=len(items)),
        )
        for line in done.iter_rows():
            if line["error"]:
                raise pickle.loads(line["error"])
            advance(int(line["rows"]))

    def run(self, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterable[Result]:
        """Apply `function` in Ray tasks; results come in the order of the items."""
        import ray

        remote = ray.remote(function)
        for reference in [remote.remote(item) for item in items]:
            yield ray.get(reference)


def _quiet() -> None:
    """Our listener reports progress; Ray Data's own bars and notices stay in its log files."""
    import ray

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.WARNING)
