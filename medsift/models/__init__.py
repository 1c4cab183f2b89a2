"""List the models that a recipe may name: causal language models, and image-text models."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag

from medsift.models.embedded import EmbeddedModelConfig
from medsift.models.embedded_vlm import EmbeddedImageTextModelConfig
from medsift.models.language_model import ImageTextModel, LanguageModel
from medsift.models.pretrained import (
    AnyPretrainedConfig,
    ImageTextModelConfig,
    TransformersModelConfig,
)

AnyLanguageModel = Annotated[
    EmbeddedModelConfig | TransformersModelConfig, Field(discriminator="kind")
]


def _kind(model: Any) -> Any:
    """Return the kind that settings name; without one, a model that transformers loads."""
    if isinstance(model, dict):
        return model.get("kind", "transformers")
    return getattr(model, "kind", None)


AnyImageTextModel = Annotated[
    Annotated[EmbeddedImageTextModelConfig, Tag("embedded_vlm")]
    | Annotated[ImageTextModelConfig, Tag("transformers")],
    Discriminator(_kind),
]

AnyModel = Annotated[
    EmbeddedImageTextModelConfig | EmbeddedModelConfig | AnyPretrainedConfig,
    Field(discriminator="kind"),
]
"""A model of either sort."""

__all__ = [
    "AnyImageTextModel",
    "AnyLanguageModel",
    "AnyModel",
    "EmbeddedImageTextModelConfig",
    "EmbeddedModelConfig",
    "ImageTextModel",
    "ImageTextModelConfig",
    "LanguageModel",
    "TransformersModelConfig",
]
