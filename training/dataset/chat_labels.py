"""Mark the learned tokens of a chat: each answer with its end of turn, known from token ids.

A conversation is put through the model's chat template as a whole, and once up to each answer. The
tokens of the shorter text must begin the tokens of the longer one; what is between them is the
answer. Nothing is searched for in text. Where a template rewrites earlier answers once the chat
continues, these are context and not learned.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from medsift.errors import ModelError
from medsift.models.chat_format import Turn
from medsift.models.reserved_tokens import ReservedTokens
from medsift.vocabulary import IMAGE_MARK
from training.dataset.picture_tokens import PictureTokens
from training.dataset.samples import Sample
from training.model.base_model import Base

Ids = NDArray[np.int64]

IGNORED: Final = -100
CHUNK: Final = 512
"""Samples that are tokenised in one call: a fast tokenizer spreads them over threads."""
LABELS_VERSION: Final = 2
"""Raised when equal samples give other tokens to learn."""


class Span(NamedTuple):
    """Learned tokens `ids[start:stop]`; `pictures` of the sample come before them."""

    start: int
    stop: int
    pictures: int


@dataclass(frozen=True, slots=True)
class Encoded:
    """A chat as tokens `ids` (n,), each picture still the short mark of the template.

    `added` are the tokens that each picture takes beyond its mark. `unlearned` answers are in the
    chat without a span: the template wrote them differently when they were the last.
    """

    ids: NDArray[np.int32]
    spans: tuple[Span, ...]
    added: tuple[int, ...]
    unlearned: int = 0

    @property
    def length(self) -> int:
        """Tokens, those of the pictures included."""
        return len(self.ids) + sum(self.added)

    @property
    def supervised(self) -> int:
        """Tokens that are learned."""
        return sum(span.stop - span.start for span in self.spans)


class Refused(NamedTuple):
    """Why a sample has no tokens to learn: a reason code, and details in words."""

    reason: str
    detail: str = ""


class _Prefixes(NamedTuple):
    """The chat before each answer, then with each answer; and the pictures before each."""

    texts: list[str]
    pictures: list[int]


class ChatEncoder:
    """Turn samples into tokens and labels, by a model's own template and processor."""

    def __init__(self, base: Base, max_pixels: int | None = None) -> None:
        self.base = base
        self.max_pixels = max_pixels
        self.reserved = ReservedTokens(base.tokenizer, base.processor)
        self.pictures = PictureTokens(base, self.reserved, max_pixels)
        # Tokens that end a turn: whatever the model stops at when it generates.
        settings = getattr(base.model, "generation_config", None)
        stops: Any = getattr(settings, "eos_token_id", None)
        ends = [*(stops if isinstance(stops, list) else [stops]), base.tokenizer.eos_token_id]
        self.ends = frozenset(int(end) for end in ends if end is not None)

    def text(self, sample: Sample) -> str:
        """Return the complete chat in the model's template, up to the last answer."""
        text = self.base.chat.chat(_up_to_last_answer(sample.turns), ask=False)
        assert text is not None, "a sample that was encoded"
        return text

    def encode(self, samples: Sequence[Sample]) -> Iterator[Encoded | Refused]:
        """Yield each sample's tokens, or why there are none. Raises ModelError; see `_prefixes`."""
        for start in range(0, len(samples), CHUNK):
            chunk = samples[start : start + CHUNK]
            reserved = self._reserved_tokens(chunk)
            prefixes = [self._prefixes(*pair) for pair in zip(chunk, reserved, strict=True)]
            texts = [
                text for part in prefixes if isinstance(part, _Prefixes) for text in part.texts
            ]
            ids: Iterator[list[int]] = iter(())
            if texts:
                ids = iter(self.base.tokenizer(texts, add_special_tokens=False)["input_ids"])
            for sample, part in zip(chunk, prefixes, strict=True):
                if isinstance(part, Refused):
                    yield part
                else:
                    yield self._encoded(sample, part, [next(ids) for _ in part.texts])

    def labels(self, encoded: Encoded, ids: Ids) -> Ids:
        """Return labels (m,) of the processor's `ids` (m,), some `IGNORED`. Raises ModelError."""
        labels = np.full(len(ids), IGNORED, np.int64)
        for span in encoded.spans:
            # After all pictures the shift is what the processor added in all, measured or not.
            shift = sum(encoded.added[: span.pictures])
            if span.pictures == len(encoded.added):
                shift = len(ids) - len(encoded.ids)
            tokens = slice(span.start + shift, span.stop + shift)
            # Labels off by a token would teach nonsense and raise nothing, so they are compared.
            if not np.array_equal(ids[tokens], encoded.ids[span.start : span.stop]):
                message = (
                    f"the processor of {self.base.name} moves answers among its picture tokens in "
                    "a way that is not understood; train on samples with all pictures before the "
                    "first answer"
                )
                raise ModelError(message, code="model_unsuitable", model=self.base.name)
            labels[tokens] = ids[tokens]
        return labels

    def decoded_example(self, encoded: Encoded) -> str:
        """Return the chat as text, with what is learned between ⟦ and ⟧."""

        def decode(start: int, stop: int | None) -> str:
            ids = encoded.ids[start:stop].tolist()
            text: str = self.base.tokenizer.decode(ids, skip_special_tokens=False)
            return text

        parts, done = [], 0
        for span in encoded.spans:
            parts += [decode(done, span.start), f"⟦{decode(span.start, span.stop)}⟧"]
            done = span.stop
        return "".join([*parts, decode(done, None)])

    def _reserved_tokens(self, samples: Sequence[Sample]) -> list[str | None]:
        """Return the reserved token that each sample's turns spell, if any.

        A mark that represents a picture does not count. Without pictures it does where the model
        sees: the processor would take it for a picture that is not there.
        """
        texts, owners = [], []
        for index, sample in enumerate(samples):
            for _, content in _up_to_last_answer(sample.turns):
                parts = content.split(IMAGE_MARK) if sample.pictures else [content]
                texts += parts
                owners += [index] * len(parts)
        spelled: list[str | None] = [None] * len(samples)
        for index, text, token in zip(owners, texts, self.reserved.spelled(texts), strict=True):
            is_mark = self.base.processor is not None and IMAGE_MARK in text
            spelled[index] = spelled[index] or token or (IMAGE_MARK if is_mark else None)
        return spelled

    def _prefixes(self, sample: Sample, spelled: str | None) -> _Prefixes | Refused:
        if sample.pictures and self.base.processor is None:
            raise ModelError(
                f"model {self.base.name} sees no pictures and sample {sample.row_id} has some; "
                "name a vision-language model, or a selection of text alone",
                code="model_unsuitable",
                model=self.base.name,
                row_id=sample.row_id,
            )
        turns = _up_to_last_answer(sample.turns)
        answers = [index for index, (role, _) in enumerate(turns) if role == "assistant"]
        if not answers:
            return Refused("no_answer")
        if answers[0] == 0:
            return Refused("no_question")
        if any(IMAGE_MARK in turns[index][1] for index in answers) and sample.pictures:
            # Its tokens would have to be learned, and are no tokens of text.
            return Refused("picture_in_answer")
        if spelled is not None:
            return Refused("special_token", f"a turn holds {spelled}, a token of the model's own")
        chat = self.base.chat.chat
        # `before` ends with the heading of the answer, `after` with its end of turn.
        before = [chat(turns[:index]) for index in answers]
        after = [chat(turns[: index + 1], ask=False) for index in answers]
        texts = [text for text in (*before, *after) if text is not None]
        if len(texts) < 2 * len(answers):
            return Refused("template_refused", "the chat template refuses these turns")
        pictures = [sum(text.count(IMAGE_MARK) for _, text in turns[:index]) for index in answers]
        return _Prefixes(texts, pictures if sample.pictures else [0] * len(answers))

    def _encoded(
        self, sample: Sample, prefixes: _Prefixes, ids: Sequence[list[int]]
    ) -> Encoded | Refused:
        spans = self._spans(prefixes, ids)
        if isinstance(spans, Refused):
            return spans
        try:
            added = tuple(
                self.pictures.added(picture.width, picture.height) for picture in sample.pictures
            )
        except ValueError as error:
            return Refused("picture_refused", " ".join(str(error).split()))
        if not self.pictures.all_shown(ids[-1], len(sample.pictures)):
            return Refused("template_refused", "the chat template leaves pictures out")
        # An empty answer is without tokens where the template writes no end of turn.
        learned = tuple(span for span in spans if span.stop > span.start)
        if not learned:
            return Refused("no_answer")
        unlearned = len(prefixes.pictures) - len(spans)
        return Encoded(np.array(ids[-1], np.int32), learned, added, unlearned)

    def _spans(self, prefixes: _Prefixes, ids: Sequence[list[int]]) -> list[Span] | Refused:
        """Return the answers whose tokens in the complete chat are certain; Refused without any.

        The chat up to an answer, and with it, must begin the complete chat, in letters and in
        tokens. Differing letters mean that the template rewrites earlier turns as a chat continues;
        equal letters and differing tokens mean that an answer's first token also covers the end of
        its heading, so that no token boundary separates the two.
        """
        count, complete, spans = len(prefixes.pictures), ids[-1], []
        for index, pictures in enumerate(prefixes.pictures):
            texts = prefixes.texts[index], prefixes.texts[count + index]
            before, after = ids[index], ids[count + index]
            if not all(prefixes.texts[-1].startswith(text) for text in texts):
                continue
            if complete[: len(before)] != before or complete[: len(after)] != after:
                return Refused("merged_tokens", "an answer's first letters join its heading")
            # What a template writes after the end of a turn, such as a line break, is not learned.
            turn = range(len(after) - 1, len(before) - 1, -1)
            last = next((i for i in turn if complete[i] in self.ends), len(after) - 1)
            spans.append(Span(len(before), last + 1, pictures))
        return spans or Refused(
            "template_rewrites", "the chat template rewrites earlier turns as a chat continues"
        )


def _up_to_last_answer(turns: Sequence[Turn]) -> list[Turn]:
    # Turns after the last answer would be read at a cost and change no label.
    last = max((index for index, (role, _) in enumerate(turns) if role == "assistant"), default=-1)
    return list(turns[: last + 1])
