"""Several samples in one row, none of which sees another.

Positions begin anew with every sample, and the attention mask is block-diagonal. Whether a model
keeps to both is not taken from its name: `check_packing` tries it before training.
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


MASKED: Final = ("eager", "sdpa")
TOLERANCE: Final = {"float32": 1e-3, "bfloat16": 3e-2}
"""Mean difference of losses, as a share of their mean, that arithmetic alone may make."""


class Packer:
    """Joins the rows of a padded batch into one. Raises ModelError for a model that cannot."""

    def __init__(self, base: Base) -> None:
        self.kernel = base.model.config.get_text_config()._attn_implementation
        if self.kernel not in MASKED:
            raise ModelError(
                f"packing needs a mask, which attention {self.kernel!r} of {base.name} does not "
                f"take; set base.attention to one of {', '.join(MASKED)}",
                code="packing_unsupported",
            )
        self.dtype = base.model.dtype
        # Models with positions in several dimensions know how to number them.
        self.numbering: Any = next(
            (
                module.get_rope_index
                for module in base.model.modules()
                if hasattr(module, "get_rope_index")
            ),
            None,
        )

    def pack(
        self,
        inputs: dict[str, Tensor],
        labels: NDArray[np.int64],
        weights: NDArray[np.float64],
    ) -> tuple[dict[str, Tensor], NDArray[np.int64], NDArray[np.float64]]:
        """One row (1, n) of rows (b, m), with `position_ids` and a mask (1, 1, n, n).

        Tensors of another shape than the token ids, such as pixels, stay as they are.
        """
        import torch

        shown = inputs["attention_mask"].bool()
        shape = inputs["input_ids"].shape
        packed = {
            name: value[shown].unsqueeze(0) if value.shape == shape else value
            for name, value in inputs.items()
        }
        positions = self._positions(inputs, shown)
        packed["position_ids"] = positions[..., shown].unsqueeze(-2)
        owner = torch.arange(shape[0]).unsqueeze(1).expand(shape)[shown]
        packed["attention_mask"] = self._mask(owner)
        rows = shown.numpy()
        # A sample's first token is never learned, so none is predicted from its neighbour.
        return packed, labels[rows][None], weights[rows][None]

    def _positions(self, inputs: dict[str, Tensor], shown: Tensor) -> Tensor:
        """Positions (b, m), or (3, b, m), of every row for itself."""
        import torch

        if self.numbering is None:
            return torch.arange(shown.shape[1]).expand(shown.shape)
        known = {
            name: inputs[name] for name in ("image_grid_thw", "mm_token_type_ids") if name in inputs
        }
        known.setdefault("mm_token_type_ids", torch.zeros_like(inputs["input_ids"]))
        positions: Tensor = self.numbering(
            input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], **known
        )[0]
        return positions

    def _mask(self, owner: Tensor) -> Tensor:
        """Who is seen (1, 1, n, n): tokens of the same sample up to oneself."""
        import torch

        length = len(owner)
        seen = (owner.unsqueeze(0) == owner.unsqueeze(1)) & torch.ones(
            length, length, dtype=torch.bool
        ).tril()
        if self.kernel == "sdpa":
            return seen[None, None]
        least = torch.finfo(self.dtype).min
        return torch.where(seen, 0.0, least).to(self.dtype)[None, None]


def check_packing(name: str, packed: Floats, alone: Floats, arithmetic: str) -> None:
    """Raise ModelError when losses (n,) of samples in one row are not those of each for itself."""
    moved = float(np.abs(packed - alone).mean() / max(float(alone.mean()), 1e-6))
    if not moved <= TOLERANCE[arithmetic]:
        raise ModelError(
            f"{name} does not keep packed samples apart: their losses move by {moved:.1%} on "
            "average; set batches.packing: false",
            code="packing_unsupported",
        )
