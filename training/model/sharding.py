"""Share weights out over several workers (FSDP2): each has a part of every one, frozen ones too.

A layer is put together when it is used and taken apart again. Checkpoints and results contain full
tensors, so that neither depends on how many workers there were.
"""

from __future__ import annotations

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

    inner = without_adapters(model)
    layers = getattr(inner.get_decoder(), "layers", None)
    if layers is None:
        message = (
            f"the layers of {type(inner).__name__} are not where decoders keep them; set "
            "workers.strategy: ddp"
        )
        raise ModelError(message, code="model_unsuitable", model=type(inner).__name__)
    # Layers first: the outermost part then takes only what they leave over.
    for layer in layers:
        fully_shard(layer)
    fully_shard(model)
    for part in model.modules():
        if isinstance(part, FSDPModule):
            # The loss is divided by the weight of the whole step already.
            part.set_gradient_divide_factor(1.0)
            part.set_force_sum_reduction_for_comms(True)
    # A batch without pictures leaves the vision tower unused; its gradients are summed too.
    model.set_reduce_scatter_unused_params(True)


def without_adapters(model: Any) -> Any:
    """Return the transformers model inside PEFT's wrapper, or the model itself."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def sharded(tensor: Tensor) -> bool:
    """Return whether this worker has only a part of a tensor."""
    return hasattr(tensor, "full_tensor")


def full_tensor(tensor: Any) -> Tensor:
    """Return a tensor with all its parts. Every worker must call this at once."""
    gathered: Tensor = tensor.full_tensor() if sharded(tensor) else tensor
    return gathered


def reshard_like(tensor: Tensor, parameter: Any) -> Tensor:
    """Return a full tensor, which each worker has, on a parameter's device and sharded like it."""
    moved = tensor.to(parameter.device)
    if not sharded(parameter):
        return moved
    from torch.distributed.tensor import distribute_tensor

    parts: Tensor = distribute_tensor(moved, parameter.device_mesh, parameter.placements)
    return parts
