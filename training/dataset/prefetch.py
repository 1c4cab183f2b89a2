"""Batches made ready in the background, in order, and how long training waited for them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

from training.dataset.batches import Batch
from training.dataset.collate import MicroBatch

AHEAD = 3


class PrefetchedBatch(NamedTuple):
    """A batch, and the seconds that it was waited for."""

    micro: MicroBatch
    waited: float


def prefetch(
    collate: Callable[[Batch], MicroBatch], batches: Iterable[Batch], ahead: int = AHEAD
) -> Generator[PrefetchedBatch, None, None]:
    """Yield batches in order while the next `ahead` are made by one thread.

    An error of `collate` is raised where its batch would have come.
    """
    waiting: deque[Future[MicroBatch]] = deque()
    source = iter(batches)
    with ThreadPoolExecutor(1, thread_name_prefix="collate") as worker:
        _leave_cores_alone(worker)
        try:
            for batch in source:
                waiting.append(worker.submit(collate, batch))
                if len(waiting) > ahead:
                    yield _taken(waiting)
            while waiting:
                yield _taken(waiting)
        finally:
            worker.shutdown(wait=True, cancel_futures=True)


def _leave_cores_alone(worker: ThreadPoolExecutor) -> None:
    """Have the worker's thread compute by itself.

    With a team of threads of its own there would be more threads than cores, and OpenMP would put
    training's threads to sleep after every small operation: steps took twice as long.
    """
    import torch

    ours = torch.get_num_threads()
    # A thread takes over the common number when it is first asked, whatever it was told before.
    worker.submit(torch.get_num_threads).result()
    worker.submit(torch.set_num_threads, 1).result()
    # What a thread is told also becomes the common number.
    torch.set_num_threads(ours)


def _taken(waiting: deque[Future[MicroBatch]]) -> PrefetchedBatch:
    started = time.perf_counter()
    micro = waiting.popleft().result()
    return PrefetchedBatch(micro, time.perf_counter() - started)
