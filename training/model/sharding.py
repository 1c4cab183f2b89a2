"""Weights in parts on several workers (FSDP2): each holds a share of every one, frozen ones too.

A layer is put together when it is its turn and taken apart again. What a checkpoint or a result
holds is whole, so that neither depends on how many workers there were.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from medsift.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor


def shard(model: Any) -> None:
    """Share a model out over the workers of torch's default process group, in place.

    Gradients are summed over the workers as they arrive. The vision tower stays with the outermost
    part, which every batch needs: a batch without pictures would leave the others waiting.

    Raises ModelError for a decoder whose layers cannot be found.
    """
    from torch.distributed.fsdp import FSDPModule, fully_shard

    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    layers = getattr(inner.get_decoder(), "layers", None)
    if layers is None:
        raise ModelError(
            f"the layers of {type(inner).__name__} are not where decoders keep them; set "
            "workers.strategy: ddp",
            code="model_unsuitable",
        )
    for layer in layers:
        fully_shard(layer)
    fully_shard(model)
    for part in model.modules():
        if isinstance(part, FSDPModule):
            # The loss is divided by the weight of the whole step already.
            part.set_gradient_divide_factor(1.0)
            part.set_force_sum_reduction_for_comms(True)
    model.set_reduce_scatter_unused_params(True)


def sharded(tensor: Tensor) -> bool:
    """Whether this worker holds only a part of a tensor."""
    return hasattr(tensor, "full_tensor")


def full_tensor(tensor: Tensor) -> Tensor:
    """A tensor with all its parts. Every worker has to ask at once."""
    gather: Callable[[], Tensor] | None = getattr(tensor, "full_tensor", None)
    return tensor if gather is None else gather()


def reshard_like(tensor: Tensor, parameter: Any) -> Tensor:
    """A whole tensor on the device of a parameter, in parts where that is; every worker has it."""
    placed = tensor.to(parameter.device)
    if not sharded(parameter):
        return placed
    from torch.distributed.tensor import distribute_tensor

    parts: Tensor = distribute_tensor(placed, parameter.device_mesh, parameter.placements)
    return parts
