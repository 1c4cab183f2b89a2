"""Vision-language models."""

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
from medsift.models.chat_format import Turn
from medsift.models.image_text import IMAGE_TEXT_VERSION, ImageTextPrompts

if TYPE_CHECKING:
    from PIL.Image import Image


class ImageTextGenerator(LocalGeneratorConfig):
    """Settings of a vision-language model, such as ``{kind: image_text, model: {model: NAME}}``."""

    kind: Literal["image_text"] = "image_text"
    model: AnyImageTextModel
    max_pixels: int | None = Field(None, ge=1)
    """Larger pictures are scaled down to so many pixels before the model's processor sees them."""

    def fingerprint(self) -> str:
        """Identity of the replies. Raises ModelError when model or adapter cannot be loaded."""
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
        self.max_pixels = max_pixels

    def chat(self, turns: Sequence[Turn], *, ask: bool) -> str | None:
        """Turns in the chat template."""
        return self.asking.chat(turns, ask=ask)

    def prompts(self, requests: Sequence[Request]) -> list[Prompt | None]:
        """Prompts as text and RGB pictures, None where the template refuses one."""
        return [self._prompt(request) for request in requests]

    def inputs(self, prompts: Sequence[Prompt]) -> dict[str, Any]:
        """What the processor makes of prompts; of those without pictures, what the tokenizer."""
        shown = [prompt.pictures for prompt in prompts] if prompts[0].pictures else None
        inputs = self.asking.inputs([prompt.words for prompt in prompts], shown)
        return self.asking.on_device(inputs)

    def _prompt(self, request: Request) -> Prompt | None:
        words = self.asking.prompt(request.turns)
        if words is None:
            return None
        shown = (picture.convert("RGB") for picture in request.pictures)
        return Prompt(request, words, tuple(scaled(one, self.max_pixels) for one in shown))


def scaled(picture: Image, max_pixels: int | None) -> Image:
    """A picture with at most `max_pixels` pixels, its sides in proportion as far as they can be."""
    width, height = picture.size
    if max_pixels is None or width * height <= max_pixels:
        return picture
    from PIL.Image import Resampling

    shrink = sqrt(max_pixels / (width * height))
    size = max(1, int(width * shrink)), max(1, int(height * shrink))
    return picture.resize(size, Resampling.LANCZOS)
