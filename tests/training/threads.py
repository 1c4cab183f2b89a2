"""Workers of one training in threads of one process, which need no cluster."""

from __future__ import annotations

import threading
from typing import Any

import torch

from training.loop.distributed import SingleProcess


class Threads:
    """Workers of one training in threads of this process, which add up what each sends."""

    def __init__(self, count: int) -> None:
        self.sent: list[torch.Tensor | None] = [None] * count
        self.barrier = threading.Barrier(count, timeout=300)

    def worker(self, rank: int) -> Any:
        group, made = self, SingleProcess()

        def reduce_sum(values: torch.Tensor) -> torch.Tensor:
            group.sent[rank] = values.clone()
            group.barrier.wait()
            total = torch.stack([one for one in group.sent if one is not None]).sum(0)
            group.barrier.wait()
            return values.copy_(total)

        made.rank, made.world_size, made.reduce_sum = rank, len(self.sent), reduce_sum
        return made
