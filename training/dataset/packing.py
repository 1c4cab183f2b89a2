"""Put several samples in one row, none of which sees another.

Positions begin anew with every sample, and the attention mask is block-diagonal. A model's name
does not show whether it keeps to both: `check_packing` tries it before training.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from medsift.arrays import Floats
from medsift.errors import ModelError
from training.model.base_model import Base

if TYPE_CHECKING:
    from torch import Tensor


MASKED_KERNELS: Final = ("eager", "sdpa")
"""Attention kernels that take a mask of any form; flash attention takes none."""
TOLERANCE: Final = {"float32": 1e-3, "bfloat16": 3e-2}
"""Mean difference of losses, as a share of their mean, that arithmetic alone may make."""


class Packer:
    """Join the rows of a padded batch into one. Raises ModelError for a model that cannot."""

    def __init__(self, base: Base) -> None:
        self.kernel = base.model.config.get_text_config()._attn_implementation
        if self.kernel not in MASKED_KERNELS:
            message = (
                f"packing needs a mask, which attention {self.kernel!r} of {base.name} does not "
                f"take; set base.attention to one of {', '.join(MASKED_KERNELS)}"
            )
            raise ModelError(message, code="packing_unsupported", attention=self.kernel)
        self.dtype = base.model.dtype
        # Models with positions in several dimensions number them with a method of their own.
        modules = (module for module in base.model.modules() if hasattr(module, "get_rope_index"))
        self.numbering: Any = next((module.get_rope_index for module in modules), None)

    def pack(
        self,
        inputs: dict[str, Tensor],
        labels: NDArray[np.int64],
        weights: NDArray[np.float64],
    ) -> tuple[dict[str, Tensor], NDArray[np.int64], NDArray[np.float64]]:
        """Return one row (1, n) of rows (b, m), with `position_ids` and a mask (1, 1, n, n).

        Tensors of another shape than the token ids, such as pixels, stay as they are.
        """
        import torch

        unpadded = inputs["attention_mask"].bool()
        shape = inputs["input_ids"].shape
        packed = {
            name: value[unpadded].unsqueeze(0) if value.shape == shape else value
            for name, value in inputs.items()
        }
        positions = self._positions(inputs)
        packed["position_ids"] = positions[..., unpadded].unsqueeze(-2)
        owner = torch.arange(shape[0]).unsqueeze(1).expand(shape)[unpadded]
        packed["attention_mask"] = self._mask(owner)
        rows = unpadded.numpy()
        # A sample's first token is never learned, so none is predicted from its neighbour.
        return packed, labels[rows][None], weights[rows][None]

    def _positions(self, inputs: dict[str, Tensor]) -> Tensor:
        """Return positions (b, m), or (3, b, m), that begin anew in each row."""
        import torch

        shape = inputs["input_ids"].shape
        if self.numbering is None:
            return torch.arange(shape[1]).expand(shape)
        known = {
            name: inputs[name] for name in ("image_grid_thw", "mm_token_type_ids") if name in inputs
        }
        # Text alone may come without types, which the method wants; 0 is text.
        known.setdefault("mm_token_type_ids", torch.zeros_like(inputs["input_ids"]))
        positions: Tensor = self.numbering(
            input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], **known
        )[0]
        return positions

    def _mask(self, owner: Tensor) -> Tensor:
        """Return the mask (1, 1, n, n) that lets a token see its own sample up to itself."""
        same = owner.unsqueeze(0) == owner.unsqueeze(1)
        visible = same.tril()[None, None]
        if self.kernel == "sdpa":
            return visible
        import torch

        # Eager attention adds the mask to its scores instead of reading it as yes or no.
        hidden = torch.finfo(self.dtype).min
        return torch.where(visible, 0.0, hidden).to(self.dtype)


def check_packing(name: str, packed: Floats, alone: Floats, arithmetic: str) -> None:
    """Raise ModelError when samples in one row do not have the losses of each alone.

    Args:
        name: the model's.
        packed: losses (n,) of the learned tokens in one row.
        alone: the same, each sample in a row of its own.
        arithmetic: a key of `TOLERANCE`.
    """
    # A mean loss near 0 would make a large share of any rounding.
    moved = float(np.abs(packed - alone).mean() / max(float(alone.mean()), 1e-6))
    # Asked this way round, so that NaN is refused.
    if not moved <= TOLERANCE[arithmetic]:
        message = (
            f"{name} does not keep packed samples apart: their losses move by {moved:.1%} on "
            "average; set batches.packing: false"
        )
        raise ModelError(message, code="packing_unsupported", model=name, moved=moved)
