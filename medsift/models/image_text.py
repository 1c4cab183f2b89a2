"""Prompt models of pictures and text, and compute how likely answers are under them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from medsift.arrays import Doubles
from medsift.errors import ModelError
from medsift.models.chat_format import ASK, SPEAKERS, Turn, in_template
from medsift.models.language_model import ImageTextModel
from medsift.models.likelihood import AnswerHead
from medsift.models.reserved_tokens import ReservedTokens
from medsift.text import IMAGE_MARKER
from medsift.vocabulary import IMAGE_MARK

if TYPE_CHECKING:
    from PIL.Image import Image

logger = logging.getLogger(__name__)

IMAGE_TEXT_VERSION: Final = 2
"""Raised when the model input of equal samples changes."""
CPU_BATCH: Final = 1
GPU_BATCH: Final = 8


class Illustrated(NamedTuple):
    """An answer, the turns before it with a mark for each picture, and the pictures (RGB)."""

    turns: Sequence[Turn]
    answer: str
    pictures: Sequence[Image]


class AnswerBatch(NamedTuple):
    """Model inputs of some samples: their `rows` (b), and where the answer of each is."""

    rows: Sequence[int]
    inputs: dict[str, Any]
    spans: Sequence[tuple[int, int]]


class ImageTextPrompts:
    """Build a loaded model's inputs from turns and pictures, with its own processor.

    The chat template is that of the processor, or else of its tokenizer; a model without one is
    prompted in plain words, `Question:` and `Answer:`. Raises ModelError without a processor.
    """

    def __init__(self, loaded: ImageTextModel) -> None:
        self.loaded = loaded
        self.processor = loaded.processor
        if not hasattr(self.processor, "image_processor"):
            message = (
                f"model {loaded.name!r} has no processor of pictures; name a folder that also has"
                " preprocessor_config.json, as processor.save_pretrained writes it"
            )
            raise ModelError(message, code="model_unsuitable", model=loaded.name)
        self.tokenizer = loaded.processor.tokenizer
        if self.tokenizer.pad_token is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        template = getattr(self.processor, "chat_template", None) or self.tokenizer.chat_template
        self.chats = bool(template)

    def prompt(self, turns: Sequence[Turn], *, with_image: bool = True) -> str | None:
        """Return the text before the answer; None where the template refuses the turns."""
        if self.chats:
            return self.chat(turns, with_image=with_image)
        mark = f"{self.processor.image_token}\n" if with_image else ""
        words = [SPEAKERS[role] + content.replace(IMAGE_MARK, mark) for role, content in turns]
        return "\n".join([*words, ASK])

    def chat(
        self, turns: Sequence[Turn], *, with_image: bool = True, ask: bool = True
    ) -> str | None:
        """Return turns in the template, with `ask` an answer's heading too; None if it refuses."""
        parts = [(role, _parts(content, with_image)) for role, content in turns]
        chat = self.processor if getattr(self.processor, "chat_template", None) else self.tokenizer
        return in_template(chat, parts, ask)

    def inputs(
        self, prompts: Sequence[str], pictures: Sequence[Sequence[Image]] | None
    ) -> dict[str, Any]:
        """Return the model inputs of prompts, padded on the left."""
        options: dict[str, Any] = {
            "padding": True,
            "padding_side": "left",
            "return_tensors": "pt",
            # A chat template has already added the special tokens.
            "add_special_tokens": not self.chats,
        }
        if pictures is None or not any(pictures):
            # Processors refuse a batch without a picture.
            return dict(self.tokenizer(list(prompts), **options))
        images = [list(of_prompt) for of_prompt in pictures]
        return dict(self.processor(text=list(prompts), images=images, **options))

    def on_device(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Return inputs on the model's device, pixels in its number format."""
        device, dtype = self.loaded.device, self.loaded.model.dtype
        return {
            name: value.to(device, dtype) if value.is_floating_point() else value.to(device)
            for name, value in inputs.items()
        }


class ImageTextLikelihood:
    """Compute log-probabilities of answers under a loaded model; for one thread at a time.

    A batch's prompts are padded on the left by the model's own processor, which also inserts the
    tokens of pictures; answers follow as tokens, padded on the right. With one sample at a time (as
    on a CPU) nothing is padded; in batches, values in float32 agree to about 1e-4. Models keep the
    positions of one pass for the next, so that threads would disturb each other.
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
        """Return the mean log p (n,) in nats of each answer's first `max_answer_tokens` tokens.

        NaN where the chat template refuses the conversation or the processor its pictures, where
        the answer has no tokens, or where a text spells a reserved token.
        """
        logprobs = np.full(len(samples), np.nan)
        for batch in self.batches(samples, with_image):
            logprobs[batch.rows] = -self.head.losses(batch.inputs, batch.spans)
        return logprobs

    def batches(self, samples: Sequence[Illustrated], with_image: bool) -> Iterator[AnswerBatch]:
        """Yield the model inputs of samples with their answers, in batches of similar answers.

        Samples without a log-probability, as `answer_logprob` names them, are in no batch.
        """
        prompts = [self.asking.prompt(sample.turns, with_image=with_image) for sample in samples]
        answers: list[list[int]] = []
        if samples:
            space = "" if self.asking.chats else " "
            texts = [space + sample.answer for sample in samples]
            encoded = self.tokenizer(texts, add_special_tokens=False)["input_ids"]
            answers = [ids[: self.max_answer_tokens] for ids in encoded]
        spelled = self.spelled(samples)
        order = [
            index
            for index, ids in enumerate(answers)
            if ids and prompts[index] is not None and spelled[index] is None
        ]
        # Answers of similar length share a batch, which then has little padding.
        order.sort(key=lambda index: len(answers[index]))
        for start in range(0, len(order), self.batch_size):
            batch = order[start : start + self.batch_size]
            yield from self._put_together(
                batch,
                [prompts[index] or "" for index in batch],
                [samples[index].pictures for index in batch] if with_image else None,
                [answers[index] for index in batch],
            )

    def spelled(self, samples: Sequence[Illustrated]) -> list[str | None]:
        """Return the reserved token that each sample's texts spell; None where there is none."""
        return [
            self.reserved.first(
                [part for _, content in sample.turns for part in content.split(IMAGE_MARK)]
                + [sample.answer]
            )
            for sample in samples
        ]

    def _put_together(
        self,
        rows: Sequence[int],
        prompts: Sequence[str],
        pictures: Sequence[Sequence[Image]] | None,
        answers: Sequence[list[int]],
    ) -> Iterator[AnswerBatch]:
        """Yield a batch; a refused one sample by sample, without the samples that are refused."""
        try:
            inputs = self.asking.inputs(prompts, pictures)
        except ValueError as error:
            if len(prompts) == 1:
                logger.warning("not scored: %s", " ".join(str(error).split()))
                return
            for index, (row, prompt) in enumerate(zip(rows, prompts, strict=True)):
                alone = pictures and [pictures[index]]
                yield from self._put_together([row], [prompt], alone, [answers[index]])
            return
        width = inputs["input_ids"].shape[1]
        spans = [(width, width + len(ids)) for ids in answers]
        grown = append_answers(inputs, answers, int(self.tokenizer.pad_token_id))
        yield AnswerBatch(rows, self.asking.on_device(grown), spans)


def append_answers(
    inputs: dict[str, Any], answers: Sequence[Sequence[int]], pad: int
) -> dict[str, Any]:
    """Return inputs with answers after the prompts; every input of a prompt's shape grows.

    Args:
        inputs: of n prompts, padded on the left.
        answers: the tokens of each answer; shorter ones are padded on the right.
        pad: the token that pads.
    """
    import torch
    from torch.nn.utils.rnn import pad_sequence

    shape, device = inputs["input_ids"].shape, inputs["input_ids"].device
    rows = [torch.tensor(ids, dtype=torch.int64, device=device) for ids in answers]
    tail = pad_sequence(rows, batch_first=True, padding_value=pad)
    mask = pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
    tails = {"input_ids": tail, "attention_mask": mask}
    return {
        name: torch.cat([value, tails.get(name, torch.zeros_like(tail)).to(value.dtype)], 1)
        if value.shape == shape
        else value
        for name, value in inputs.items()
    }


def _parts(content: str, with_image: bool) -> list[dict[str, str]]:
    """Return the pictures and texts of a turn in order, as a chat template takes them."""
    parts: list[dict[str, str]] = []
    for index, text in enumerate(content.split(IMAGE_MARK)):
        if index and with_image:
            parts.append({"type": "image"})
        if text.strip():
            parts.append({"type": "text", "text": text.strip()})
    return parts


def marked(turns: Sequence[Turn], pictures: int) -> tuple[Turn, ...]:
    """Return turns with one mark per picture: as in the text if their number fits, else first."""
    unchanged = [(role, IMAGE_MARKER.sub(IMAGE_MARK, content).strip()) for role, content in turns]
    if sum(content.count(IMAGE_MARK) for _, content in unchanged) == pictures:
        return tuple(unchanged)
    bare = [(role, IMAGE_MARKER.sub("", content).strip()) for role, content in turns]
    question = [role for role, _ in bare].index("user")
    bare[question] = ("user", IMAGE_MARK * pictures + bare[question][1])
    return tuple(bare)
