"""Define a vision tower that turns a picture into a grid of features, for use in transformers.

It belongs to the offline vision-language model (see `embedded_vlm`), which is otherwise the LLaVA
of transformers. Importing this file imports torch; `register` lets transformers save and load it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import timm
import torch
from torch.nn.functional import adaptive_avg_pool2d, layer_norm
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

from medsift.models.efficientnet import fold_normalisation
from medsift.models.kept_grids import FrozenTower, kept_grid

if TYPE_CHECKING:
    from torch import Tensor


class ImageGridConfig(PreTrainedConfig):  # type: ignore[misc]
    """Settings of the tower: a network of timm, and the cells that its features are pooled to."""

    model_type = "medsift_image_grid"

    architecture: str = "tf_efficientnet_lite0"
    image_size: int = 224
    channels: int = 1280
    side: int = 4
    """Cells along each edge; a picture takes side * side tokens."""

    @property
    def hidden_size(self) -> int:
        """The length of a cell: its features and its position."""
        return self.channels + self.side**2


class ImageGridModel(PreTrainedModel):  # type: ignore[misc]
    """A convolutional network whose normalisation is folded into its convolutions.

    So training moves no running statistics. A cell is its standardised features followed by its
    position as a one-hot vector, from which a projector's first layer learns position embeddings.
    """

    config_class = ImageGridConfig
    main_input_name = "pixel_values"
    input_modalities = ("image",)

    def __init__(self, config: ImageGridConfig) -> None:
        super().__init__(config)
        self.network = timm.create_model(config.architecture, pretrained=False, num_classes=0)
        self.network.eval()
        fold_normalisation(self.network)
        self.tower = FrozenTower(self.network)
        self.post_init()

    def forward(self, pixel_values: Tensor, **kwargs: Any) -> BaseModelOutput:
        """Return the cells (n, side², channels + side²), row by row, of pictures (n, 3, h, w)."""
        side = self.config.side
        frozen = self.tower.identity() if pixel_values.device.type == "cpu" else None
        if frozen is None:
            cells = self.cells(pixel_values)
        else:
            # One by one, so that no picture's cells depend on those it shares a batch with.
            pictures = [pixel_values[place : place + 1] for place in range(len(pixel_values))]
            cells = torch.cat([kept_grid(frozen, one, side, self.cells) for one in pictures])
        features = layer_norm(cells, cells.shape[-1:])
        places = torch.eye(side * side, dtype=cells.dtype, device=cells.device)
        output = torch.cat([features, places.expand(len(cells), -1, -1)], dim=-1)
        return BaseModelOutput(last_hidden_state=output, hidden_states=(output,))

    def cells(self, pixel_values: Tensor) -> Tensor:
        """Return the pooled features (n, side², channels) of pictures (n, 3, h, w)."""
        # Convolutions on a CPU take half the time with channels last.
        pixels = pixel_values.contiguous(memory_format=torch.channels_last)
        grid = self.network.forward_features(pixels)
        return adaptive_avg_pool2d(grid, self.config.side).flatten(2).transpose(1, 2)


def register() -> None:
    """Let transformers build this tower inside the models it loads; may be called again."""
    AutoConfig.register(ImageGridConfig.model_type, ImageGridConfig, exist_ok=True)
    AutoModel.register(ImageGridConfig, ImageGridModel, exist_ok=True)
