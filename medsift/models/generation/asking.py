"""Ask a loaded model: a language model in text, a vision-language model with pictures too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from medsift.images.scaling import scaled
from medsift.models import ImageTextModel, LanguageModel
from medsift.models.chat_format import ChatFormat
from medsift.models.generation.continuation import Prompt
from medsift.models.generation.request import Request
from medsift.models.image_text import ImageTextPrompts

if TYPE_CHECKING:
    pass


class AskInText:
    """Asks a language model, in its chat template or in plain words."""

    def __init__(self, loaded: LanguageModel) -> None:
        self.device = loaded.device
        self.tokenizer = loaded.tokenizer
        self.processor = None
        self.framing = ChatFormat(loaded.tokenizer)
        self.chats = self.framing.chats
        self.chat = self.framing.chat

    def prompts(self, requests: Sequence[Request]) -> list[Prompt | None]:
        """Return prompts in tokens, None where the template refuses one."""
        tokens = self.framing.prompts([request.turns for request in requests])
        return [
            None if ids is None else Prompt(request, ids)
            for request, ids in zip(requests, tokens, strict=True)
        ]

    def inputs(self, prompts: Sequence[Prompt]) -> dict[str, Any]:
        """Return tokens and mask (n, length), padded on the left."""
        import torch

        width = max(len(prompt.words) for prompt in prompts)
        ids = torch.full((len(prompts), width), self.tokenizer.pad_token_id or 0)
        mask = torch.zeros_like(ids)
        for row, prompt in enumerate(prompts):
            ids[row, width - len(prompt.words) :] = torch.tensor(prompt.words)
            mask[row, width - len(prompt.words) :] = 1
        return {"input_ids": ids.to(self.device), "attention_mask": mask.to(self.device)}


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
