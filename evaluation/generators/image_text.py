"""Ask vision-language models."""

from __future__ import annotations

from typing import Literal

import pyarrow as pa
from pydantic import Field

from evaluation.generators.generator import Generator
from evaluation.generators.local import LocalGeneratorConfig
from medsift import records
from medsift.models import AnyImageTextModel
from medsift.models.generation.asking import AskWithPictures
from medsift.models.image_text import IMAGE_TEXT_VERSION


class ImageTextGenerator(LocalGeneratorConfig):
    """Settings of a vision-language model, such as ``{kind: image_text, model: {model: NAME}}``."""

    kind: Literal["image_text"] = "image_text"
    """A vision-language model."""
    model: AnyImageTextModel
    """The vision-language model that is asked."""
    max_pixels: int | None = Field(None, ge=1)
    """Pixels to which larger pictures are scaled down before the model's processor sees them.

    By default no picture is scaled.
    """

    def fingerprint(self) -> str:
        """Return the identity of the replies. Raises ModelError where it cannot be loaded."""
        settings = [self.kind, IMAGE_TEXT_VERSION, self.max_pixels]
        return records.fingerprint([*settings, *self.identity()])

    def build(self, items: pa.Table) -> Generator:
        """Load model and adapter. Raises ModelError."""
        loaded = self.model.build()
        return self.continuation(loaded.model, AskWithPictures(loaded, self.max_pixels))
