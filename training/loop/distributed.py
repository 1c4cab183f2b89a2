"""Connect the workers of a training: the rank of each, and sums over all of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from training.model.sharding import sharded

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Parameter

BUCKET: Final = 1 << 24
"""Numbers that are summed at once: one message for many small gradients, in bounded memory."""


class SingleProcess:
    """One process, which has nobody to wait for."""

    rank: int = 0
    world_size: int = 1

    def reduce_sum(self, values: Tensor) -> Tensor:
        """Return the sum over workers of equally shaped tensors: the values as they are."""
        return values

    def barrier(self) -> None:
        """Return at once."""


class ProcessGroup:
    """The workers of torch's default process group, which the caller has set up."""

    def __init__(self) -> None:
        import torch.distributed as group

        self.group = group
        self.rank = group.get_rank()
        self.world_size = group.get_world_size()

    def reduce_sum(self, values: Tensor) -> Tensor:
        """Return the sum over workers of equally shaped tensors, in place."""
        self.group.all_reduce(values)
        return values

    def barrier(self) -> None:
        """Wait until every worker has arrived."""
        self.group.barrier()


Communicator = SingleProcess | ProcessGroup
"""What connects equal workers. All make the same calls in the same order."""


def sum_gradients(parameters: Iterable[Parameter], communicator: Communicator) -> None:
    """Replace each gradient by its sum over the workers; one that is missing counts as zero."""
    import torch

    bucket: list[Tensor] = []
    size = 0

    def sum_bucket() -> None:
        # What learns is float32, so that any gradients can share a message.
        total = communicator.reduce_sum(torch.cat([grad.flatten() for grad in bucket]))
        pieces = torch.split(total, [grad.numel() for grad in bucket])
        for grad, piece in zip(bucket, pieces, strict=True):
            grad.copy_(piece.view_as(grad))

    for parameter in parameters:
        if sharded(parameter):
            continue  # it was summed as it arrived
        # Workers must send tensors of one shape, also where a batch left a weight unused.
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        bucket.append(parameter.grad)
        size += parameter.numel()
        if size >= BUCKET:
            sum_bucket()
            bucket, size = [], 0
    if bucket:
        sum_bucket()
