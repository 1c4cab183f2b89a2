"""A picture as a grid of features: a convolutional network that transformers can save and load.

It is the vision tower of the offline vision-language model (see `embedded_vlm`), which otherwise is
LLaVA as transformers has it. Importing this file imports torch; `register` makes it known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import timm
import torch
from torch.nn.functional import adaptive_avg_pool2d, layer_norm
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

from medsift.models.efficientnet import fold_normalisation

if TYPE_CHECKING:
    from torch import Tensor


class ImageGridConfig(PreTrainedConfig):  # type: ignore[misc]
    """Which network of timm's, and into how many cells its last feature map is pooled."""

    model_type = "medsift_image_grid"

    architecture: str = "tf_efficientnet_lite0"
    image_size: int = 224
    channels: int = 1280
    side: int = 4
    """Cells along each edge; a picture takes side * side tokens."""

    @property
    def hidden_size(self) -> int:
        """Width of a cell: its features, then where it is."""
        return self.channels + self.side**2


class ImageGridModel(PreTrainedModel):  # type: ignore[misc]
    """Its normalisation is folded into convolutions: training has no statistics to move.

    A cell is its features, standardised, followed by its place as a one-hot vector: the first
    layer of a projector learns a position for each cell from it.
    """

    config_class = ImageGridConfig
    main_input_name = "pixel_values"
    input_modalities = ("image",)

    def __init__(self, config: ImageGridConfig) -> None:
        super().__init__(config)
        self.network = timm.create_model(config.architecture, pretrained=False, num_classes=0)
        self.network.eval()
        fold_normalisation(self.network)
        self.post_init()

    def forward(self, pixel_values: Tensor, **kwargs: Any) -> BaseModelOutput:
        """Cells (n, side * side, channels + side * side), row by row, of pictures (n, 3, h, w)."""
        side = self.config.side
        # On a CPU convolutions take half the time with channels last.
        pixels = pixel_values.contiguous(memory_format=torch.channels_last)
        grid = self.network.forward_features(pixels)
        cells = adaptive_avg_pool2d(grid, side).flatten(2).transpose(1, 2)
        features = layer_norm(cells, cells.shape[-1:])
        places = torch.eye(side * side, dtype=cells.dtype, device=cells.device)
        found = torch.cat([features, places.expand(len(cells), -1, -1)], dim=-1)
        return BaseModelOutput(last_hidden_state=found, hidden_states=(found,))


def register() -> None:
    """Let transformers build this tower inside the models it loads; again changes nothing."""
    AutoConfig.register(ImageGridConfig.model_type, ImageGridConfig, exist_ok=True)
    AutoModel.register(ImageGridConfig, ImageGridModel, exist_ok=True)
