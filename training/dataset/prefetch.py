"""Make batches ready in the background, in order, and measure how long training waits for them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, NamedTuple

from training.dataset.batches import Batch
from training.dataset.collate import MicroBatch

AHEAD: Final = 3
"""Batches made ready ahead: they even out slow pictures, and each occupies memory."""


class PrefetchedBatch(NamedTuple):
    """A batch, and the seconds that training waited for it."""

    micro: MicroBatch
    waited: float


def prefetch(
    collate: Callable[[Batch], MicroBatch], batches: Iterable[Batch], ahead: int = AHEAD
) -> Generator[PrefetchedBatch, None, None]:
    """Yield batches in order while one thread makes the next `ahead`.

    An error of `collate` is raised where its batch would have come.
    """
    pending: deque[Future[MicroBatch]] = deque()

    def next_batch() -> PrefetchedBatch:
        started = time.perf_counter()
        micro = pending.popleft().result()
        return PrefetchedBatch(micro, time.perf_counter() - started)

    with ThreadPoolExecutor(1, thread_name_prefix="collate") as worker:
        _limit_to_one_core(worker)
        try:
            for batch in batches:
                pending.append(worker.submit(collate, batch))
                if len(pending) > ahead:
                    yield next_batch()
            while pending:
                yield next_batch()
        finally:
            worker.shutdown(wait=True, cancel_futures=True)


def _limit_to_one_core(worker: ThreadPoolExecutor) -> None:
    """Have the worker's thread compute without helper threads.

    With a team of threads of its own there would be more threads than cores, and OpenMP would put
    training's threads to sleep after every small operation: steps took twice as long.
    """
    import torch

    ours = torch.get_num_threads()
    # On its first use a thread adopts the process's number, and would discard an earlier setting.
    worker.submit(torch.get_num_threads).result()
    worker.submit(torch.set_num_threads, 1).result()
    # Setting it in one thread also changes the process's number, so that is put back.
    torch.set_num_threads(ours)
