"""Ask vision-language models."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
from pydantic import Field

from evaluation.generators.batched_generate import Prompt
from evaluation.generators.generator import Generator, Request
from evaluation.generators.local import LocalGeneratorConfig
from medsift import records
from medsift.models import AnyImageTextModel, ImageTextModel
from medsift.models.image_text import IMAGE_TEXT_VERSION, ImageTextPrompts

if TYPE_CHECKING:
    from PIL.Image import Image


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


class AskWithPictures:
    """Asks a vision-language model through its own processor."""

    def __init__(self, loaded: ImageTextModel, max_pixels: int | None) -> None:
        self.asking = ImageTextPrompts(loaded)
        self.tokenizer = self.asking.tokenizer
        self.processor = loaded.processor
        self.chats = self.asking.chats
        self.chat = self.asking.chat
        self.max_pixels = max_pixels

    def prompts(self, requests: Sequence[Request]) -> list[Prompt | None]:
        """Return prompts as text and RGB pictures, None where the template refuses one."""
        prompts: list[Prompt | None] = []
        for request in requests:
            words = self.asking.prompt(request.turns)
            shown = (picture.convert("RGB") for picture in request.pictures)
            pictures = tuple(scaled(picture, self.max_pixels) for picture in shown)
            prompts.append(None if words is None else Prompt(request, words, pictures))
        return prompts

    def inputs(self, prompts: Sequence[Prompt]) -> dict[str, Any]:
        """Return the processor's inputs, or the tokenizer's for prompts without pictures."""
        shown = [prompt.pictures for prompt in prompts] if prompts[0].pictures else None
        inputs = self.asking.inputs([prompt.words for prompt in prompts], shown)
        return self.asking.on_device(inputs)


def scaled(picture: Image, max_pixels: int | None) -> Image:
    """Return a picture with at most `max_pixels` pixels, its sides in proportion."""
    width, height = picture.size
    if max_pixels is None or width * height <= max_pixels:
        return picture
    from PIL.Image import Resampling

    shrink = sqrt(max_pixels / (width * height))
    size = max(1, int(width * shrink)), max(1, int(height * shrink))
    return picture.resize(size, Resampling.LANCZOS)
