"""Models that see pictures: how they are asked, and how likely answers are to them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from medsift.arrays import Doubles
from medsift.errors import ModelError
from medsift.models.chat_format import ASK, SPEAKERS, Turn
from medsift.models.language_model import ImageTextModel
from medsift.models.likelihood import AnswerHead
from medsift.models.reserved_tokens import ReservedTokens
from medsift.text import IMAGE_MARKER
from medsift.vocabulary import IMAGE_MARK

if TYPE_CHECKING:
    from PIL.Image import Image

logger = logging.getLogger(__name__)


IMAGE_TEXT_VERSION: Final = 2
"""Raised when equal samples are put to the model otherwise."""
"""Where a picture stands in a turn."""
CPU_BATCH: Final = 1
GPU_BATCH: Final = 8


class Illustrated(NamedTuple):
    """An answer, the turns before it with a mark for each picture, and the pictures (RGB)."""

    turns: Sequence[Turn]
    answer: str
    pictures: Sequence[Image]


class ImageTextPrompts:
    """Turns and pictures as a loaded model takes them, put together by its own processor.

    The chat template of the processor, or of its tokenizer, has the word; a model without one is
    asked in plain words, `Question:` and `Answer:`. Raises ModelError without a processor.
    """

    def __init__(self, loaded: ImageTextModel) -> None:
        self.loaded = loaded
        self.processor = loaded.processor
        if not hasattr(self.processor, "image_processor"):
            raise ModelError(
                f"model {loaded.name!r} has no processor of pictures; name a folder that also holds"
                " preprocessor_config.json, as processor.save_pretrained writes it",
                code="model_unsuitable",
            )
        self.tokenizer = loaded.processor.tokenizer
        if self.tokenizer.pad_token is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        template = getattr(self.processor, "chat_template", None) or self.tokenizer.chat_template
        self.chats = bool(template)

    def prompt(self, turns: Sequence[Turn], *, with_image: bool = True) -> str | None:
        """What stands before the answer; None where the template refuses the turns."""
        if self.chats:
            return self.chat(turns, with_image=with_image)
        mark = f"{self.processor.image_token}\n" if with_image else ""
        words = [SPEAKERS[role] + content.replace(IMAGE_MARK, mark) for role, content in turns]
        return "\n".join([*words, ASK])

    def chat(
        self, turns: Sequence[Turn], *, with_image: bool = True, ask: bool = True
    ) -> str | None:
        """Turns in the model's template, an answer's heading after them where one is asked for.

        None where the template refuses them.
        """
        from jinja2 import TemplateError

        messages = [
            {"role": role, "content": _parts(content, with_image)} for role, content in turns
        ]
        chat = self.processor if getattr(self.processor, "chat_template", None) else self.tokenizer
        try:
            text: str = chat.apply_chat_template(
                messages, add_generation_prompt=ask, tokenize=False
            )
        except TemplateError:
            return None
        return text

    def inputs(
        self, prompts: Sequence[str], pictures: Sequence[Sequence[Image]] | None
    ) -> dict[str, Any]:
        """Model inputs of prompts, padded on the left. A template has put special tokens in."""
        how: dict[str, Any] = {
            "padding": True,
            "padding_side": "left",
            "return_tensors": "pt",
            "add_special_tokens": not self.chats,
        }
        if pictures is None or not any(pictures):
            # Processors do not take a batch that shows nothing.
            return dict(self.tokenizer(list(prompts), **how))
        shown = [list(one) for one in pictures]
        return dict(self.processor(text=list(prompts), images=shown, **how))

    def on_device(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Inputs where the model is, pixels in its arithmetic."""
        device, dtype = self.loaded.device, self.loaded.model.dtype
        return {
            name: value.to(device, dtype) if value.is_floating_point() else value.to(device)
            for name, value in inputs.items()
        }


class ImageTextLikelihood:
    """Log-probabilities of answers under a loaded model.

    A batch's prompts are padded on the left by the model's own processor, which also puts in the
    tokens of pictures; answers follow as tokens, padded on the right. One sample at a time (as on
    a CPU) nothing is padded; in batches, values in float32 agree to about 1e-4. Models keep
    places of one pass for the next: not for several threads at once.
    """

    def __init__(
        self, loaded: ImageTextModel, max_answer_tokens: int, batch_size: int | None = None
    ) -> None:
        self.asking = ImageTextPrompts(loaded)
        self.tokenizer = self.asking.tokenizer
        self.reserved = ReservedTokens(self.tokenizer, loaded.processor)
        self.head = AnswerHead(loaded.model)
        self.max_answer_tokens = max_answer_tokens
        self.batch_size = batch_size or (CPU_BATCH if loaded.device == "cpu" else GPU_BATCH)

    def answer_logprob(self, samples: Sequence[Illustrated], with_image: bool) -> Doubles:
        """Mean log p (n,) in nats of each answer's tokens, of at most `max_answer_tokens`.

        NaN where the chat template refuses the conversation or the processor its pictures, where
        the answer has no tokens, or where a text spells a token of the model's own.
        """
        prompts = [self.asking.prompt(one.turns, with_image=with_image) for one in samples]
        answers = self._answers([sample.answer for sample in samples])
        spelled = self.spelled(samples)
        asked = [
            place
            for place, ids in enumerate(answers)
            if ids and prompts[place] is not None and spelled[place] is None
        ]
        asked.sort(key=lambda place: len(answers[place]))
        found = np.full(len(samples), np.nan)
        for start in range(0, len(asked), self.batch_size):
            batch = asked[start : start + self.batch_size]
            pictures = [samples[place].pictures for place in batch] if with_image else None
            told = [prompts[place] or "" for place in batch]
            found[batch] = self._asked(told, pictures, [answers[place] for place in batch])
        return found

    def spelled(self, samples: Sequence[Illustrated]) -> list[str | None]:
        """The token of the model's own that each sample's texts spell; None where there is none."""
        return [
            self.reserved.first(
                [part for _, said in one.turns for part in said.split(IMAGE_MARK)] + [one.answer]
            )
            for one in samples
        ]

    def _asked(
        self,
        prompts: Sequence[str],
        pictures: Sequence[Sequence[Image]] | None,
        answers: Sequence[list[int]],
    ) -> Doubles:
        """Log-probabilities (n,); where one prompt is refused, each is asked alone and that NaN."""
        try:
            inputs = self.asking.inputs(prompts, pictures)
        except ValueError as error:
            if len(prompts) == 1:
                logger.warning("not scored: %s", " ".join(str(error).split()))
                return np.array([np.nan])
            alone = [
                self._asked([prompt], pictures and [pictures[place]], [answers[place]])
                for place, prompt in enumerate(prompts)
            ]
            return np.concatenate(alone)
        return self._logprob(inputs, answers)

    def _answers(self, texts: Sequence[str]) -> list[list[int]]:
        """Tokens of answers, their beginnings where they are long."""
        if not texts:
            return []
        words = [text if self.asking.chats else f" {text}" for text in texts]
        encoded = self.tokenizer(words, add_special_tokens=False)["input_ids"]
        return [ids[: self.max_answer_tokens] for ids in encoded]

    def _logprob(self, inputs: dict[str, Any], answers: Sequence[list[int]]) -> Doubles:
        width = inputs["input_ids"].shape[1]
        spans = [(width, width + len(ids)) for ids in answers]
        return -self.head.losses(self.asking.on_device(self._followed(inputs, answers)), spans)

    def _followed(self, inputs: dict[str, Any], answers: Sequence[list[int]]) -> dict[str, Any]:
        """Inputs with answers after the prompts: whatever is as long as a prompt grows by them."""
        import torch

        shape = inputs["input_ids"].shape
        longest = max(len(ids) for ids in answers)
        tail = torch.full((shape[0], longest), int(self.tokenizer.pad_token_id))
        shown = torch.zeros_like(tail)
        for row, ids in enumerate(answers):
            tail[row, : len(ids)] = torch.tensor(ids)
            shown[row, : len(ids)] = 1
        tails = {"input_ids": tail, "attention_mask": shown}
        return {
            name: torch.cat([value, tails.get(name, torch.zeros_like(tail)).to(value.dtype)], 1)
            if value.shape == shape
            else value
            for name, value in inputs.items()
        }


def _parts(content: str, with_image: bool) -> list[dict[str, str]]:
    """A turn as a chat template takes it: its pictures and texts in order."""
    found: list[dict[str, str]] = []
    for place, text in enumerate(content.split(IMAGE_MARK)):
        if place and with_image:
            found.append({"type": "image"})
        if text.strip():
            found.append({"type": "text", "text": text.strip()})
    return found


def marked(turns: Sequence[Turn], pictures: int) -> tuple[Turn, ...]:
    """Turns with one mark a picture: where they stand, if their number is right, else first."""
    standing = [(role, IMAGE_MARKER.sub(IMAGE_MARK, content).strip()) for role, content in turns]
    if sum(content.count(IMAGE_MARK) for _, content in standing) == pictures:
        return tuple(standing)
    bare = [(role, IMAGE_MARKER.sub("", content).strip()) for role, content in turns]
    asks = [role for role, _ in bare].index("user")
    bare[asks] = ("user", IMAGE_MARK * pictures + bare[asks][1])
    return tuple(bare)
