"""Models a recipe may name: causal language models, and models of pictures and text."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from curation.models.base import ImageTextModel, LanguageModel, LanguageModelConfig
from curation.models.embedded import EmbeddedModelConfig
from curation.models.pretrained import ImageTextModelConfig, TransformersModelConfig

AnyLanguageModel = Annotated[
    EmbeddedModelConfig | TransformersModelConfig, Field(discriminator="kind")
]

__all__ = [
    "AnyLanguageModel",
    "EmbeddedModelConfig",
    "ImageTextModel",
    "ImageTextModelConfig",
    "LanguageModel",
    "LanguageModelConfig",
    "TransformersModelConfig",
]
