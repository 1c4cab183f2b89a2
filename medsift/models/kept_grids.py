"""Keep what a frozen vision tower makes of a picture, so that each picture passes it once.

A fine-tuning shows its pictures many times, and a study trains and asks dozens of models with one
tower.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

MOST_BYTES: Final = 1 << 28
"""Memory that is kept: grids of about 5,000 pictures in 3 x 3 cells."""
_kept: OrderedDict[bytes, Tensor] = OrderedDict()
_lock = Lock()


class FrozenTower:
    """Recognise a network whose weights are frozen and have not changed since the last picture."""

    def __init__(self, network: Module) -> None:
        self.network = network
        self.seen: Any = None
        self.digest = b""

    def identity(self) -> bytes | None:
        """Return a digest of weights and structure; None where the network is learning."""
        tensors = [*self.network.named_parameters(), *self.network.named_buffers()]
        if any(tensor.requires_grad for _, tensor in tensors) or self.network.training:
            return None
        # Adapters can be switched off without a change of any weight.
        if any(hasattr(part, "disable_adapters") for part in self.network.modules()):
            return None
        # A change in place raises a tensor's version; another tensor has another address.
        state = [
            (name, tensor.data_ptr(), tensor._version, str(tensor.dtype), str(tensor.device))
            for name, tensor in tensors
        ]
        if state != self.seen:
            sha = hashlib.sha256(str(self.network).encode())
            for name, tensor in tensors:
                sha.update(f"{name} {tensor.dtype}".encode())
                sha.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
            self.seen, self.digest = state, sha.digest()
        return self.digest


def kept_grid(
    tower: bytes, picture: Tensor, side: int, compute: Callable[[Tensor], Tensor]
) -> Tensor:
    """Return `compute(picture)` of one picture (1, 3, h, w), kept from an earlier call if possible.

    Args:
        tower: identity of the network.
        picture: its pixels, on the CPU.
        side: cells along an edge of the result.
        compute: makes the result, which nobody may change.
    """
    import torch

    # bfloat16 is exact in float32, which NumPy knows.
    pixels = picture.detach().float().contiguous().numpy()
    # The last bits of a result depend on the arithmetic and on the number of threads.
    arithmetic = (torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu"))
    how = (side, tuple(picture.shape), picture.dtype, arithmetic, torch.get_num_threads())
    key = hashlib.sha256(tower + str(how).encode() + pixels.tobytes()).digest()
    with _lock:
        if key in _kept:
            _kept.move_to_end(key)
            return _kept[key]
    made = compute(picture)
    with _lock:
        _kept[key] = made
        while sum(grid.nbytes for grid in _kept.values()) > MOST_BYTES:
            _kept.popitem(last=False)
    return made


def kept() -> tuple[bytes, ...]:
    """Return the keys of what is kept, the one used last at the end."""
    return tuple(_kept)


def forget_grids() -> None:
    """Let go of all that is kept, to free its memory."""
    _kept.clear()
