"""The workers of a training as the loop sees them: who one is, and how sums are made together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final, Protocol

from training.model.sharding import sharded

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Parameter

BUCKET: Final = 1 << 24
"""Numbers that are summed at once."""


class Communicator(Protocol):
    """Equal workers. Every one makes the same calls in the same order."""

    rank: int
    world_size: int

    def reduce_sum(self, values: Tensor) -> Tensor:
        """The sum over workers of equally shaped tensors; may change its argument."""
        ...

    def barrier(self) -> None:
        """Wait until every worker is here."""
        ...


class SingleProcess:
    """One process: nobody to wait for."""

    rank: int = 0
    world_size: int = 1

    def reduce_sum(self, values: Tensor) -> Tensor:
        """The values as they are."""
        return values

    def barrier(self) -> None:
        """Nothing to wait for."""


class ProcessGroup:
    """The workers of torch's default process group, which someone else has set up."""

    def __init__(self) -> None:
        import torch.distributed as group

        self.rank = group.get_rank()
        self.world_size = group.get_world_size()

    def reduce_sum(self, values: Tensor) -> Tensor:
        """The sum over workers, in place."""
        import torch.distributed as group

        group.all_reduce(values)
        return values

    def barrier(self) -> None:
        """Wait until every worker is here."""
        import torch.distributed as group

        group.barrier()


def sum_gradients(parameters: Iterable[Parameter], communicator: Communicator) -> None:
    """Replace every gradient by its sum over the workers; one that is missing counts as zero.

    Those of sharded weights are left alone: they were summed as they arrived.
    """
    import torch

    for bucket in _buckets(part for part in parameters if not sharded(part)):
        for part in bucket:
            if part.grad is None:
                part.grad = torch.zeros_like(part)
        grads = [part.grad for part in bucket if part.grad is not None]
        total = communicator.reduce_sum(torch.cat([grad.flatten() for grad in grads]))
        sizes = [grad.numel() for grad in grads]
        for grad, piece in zip(grads, torch.split(total, sizes), strict=True):
            grad.copy_(piece.view_as(grad))


def _buckets(parameters: Iterable[Parameter]) -> Iterator[list[Parameter]]:
    bucket: list[Parameter] = []
    held = 0
    for part in parameters:
        bucket.append(part)
        held += part.numel()
        if held >= BUCKET:
            yield bucket
            bucket, held = [], 0
    if bucket:
        yield bucket
