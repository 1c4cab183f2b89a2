"""Which tokens of a chat are learned: every answer and the end of its turn, known from token ids.

A conversation is put through the model's chat template whole, and once up to each answer. The
tokens of the shorter text must begin the tokens of the longer one; what lies between is the answer.
Nothing is searched for in text.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from curation.errors import ModelError
from curation.models.framing import Turn
from curation.models.image_text import MARK
from training.base import Base
from training.pictures import limited
from training.samples import Sample

logger = logging.getLogger(__name__)

Ids = NDArray[np.int64]

IGNORED: Final = -100
CHUNK: Final = 512


class Run(NamedTuple):
    """Tokens `ids[start:stop]` that are learned; `pictures` of the sample stand before them."""

    start: int
    stop: int
    pictures: int


@dataclass(frozen=True, slots=True)
class Encoded:
    """A chat as tokens `ids` (n,), each picture still the short mark of the template.

    `added` are the tokens that each picture takes beyond its mark.
    """

    ids: NDArray[np.int32]
    runs: tuple[Run, ...]
    added: tuple[int, ...]

    @property
    def length(self) -> int:
        """Tokens with the pictures' own."""
        return len(self.ids) + sum(self.added)

    @property
    def supervised(self) -> int:
        """Tokens that are learned."""
        return sum(run.stop - run.start for run in self.runs)


class Refused(NamedTuple):
    """Why a sample has no tokens to learn: a reason code, and words."""

    reason: str
    detail: str = ""


class ChatEncoder:
    """Turns samples into tokens and labels, by a model's own template and processor."""

    def __init__(self, base: Base, max_pixels: int | None = None) -> None:
        self.base = base
        self.max_pixels = max_pixels
        self.ends = _ends(base)
        self.sizes: dict[tuple[int, int], int] = {}

    def text(self, sample: Sample) -> str:
        """The whole chat in the model's template, up to the last answer."""
        text = self.base.chat.chat(_learnable(sample.turns), ask=False)
        assert text is not None, "a sample that was encoded"
        return text

    def encode(self, samples: Sequence[Sample]) -> Iterator[Encoded | Refused]:
        """Tokens of each sample, or why there are none.

        Raises ModelError when the template changes what was said before as a chat goes on, or
        when the model sees no pictures and samples have some.
        """
        for start in range(0, len(samples), CHUNK):
            yield from self._chunk(samples[start : start + CHUNK])

    def labels(self, encoded: Encoded, ids: Ids) -> Ids:
        """Labels (m,) of the processor's `ids` (m,): the tokens learned, `IGNORED` elsewhere.

        Raises ModelError when the tokens to be learned are not where they have to be.
        """
        labels = np.full(len(ids), IGNORED, np.int64)
        for run in encoded.runs:
            after_all = run.pictures == len(encoded.added)
            shift = len(ids) - len(encoded.ids) if after_all else sum(encoded.added[: run.pictures])
            place = slice(run.start + shift, run.stop + shift)
            if not np.array_equal(ids[place], encoded.ids[run.start : run.stop]):
                raise ModelError(
                    f"the processor of {self.base.name} moves answers among its picture tokens in "
                    "a way that is not understood; train on samples with all pictures before the "
                    "first answer"
                )
            labels[place] = ids[place]
        return labels

    def decoded_example(self, encoded: Encoded) -> str:
        """The chat as text, what is learned between ⟦ and ⟧."""
        parts, done = [], 0
        for run in encoded.runs:
            parts.append(self._decode(encoded.ids[done : run.start]))
            parts.append(f"⟦{self._decode(encoded.ids[run.start : run.stop])}⟧")
            done = run.stop
        return "".join([*parts, self._decode(encoded.ids[done:])])

    def _decode(self, ids: NDArray[np.int32]) -> str:
        text: str = self.base.tokenizer.decode(ids.tolist(), skip_special_tokens=False)
        return text

    def _chunk(self, samples: Sequence[Sample]) -> Iterator[Encoded | Refused]:
        framed = [self._framed(sample) for sample in samples]
        texts = [text for one in framed if isinstance(one, _Framed) for text in one.texts]
        ids = iter(self._tokens(texts))
        for sample, one in zip(samples, framed, strict=True):
            if isinstance(one, Refused):
                yield one
            else:
                yield self._encoded(sample, one, [next(ids) for _ in one.texts])

    def _tokens(self, texts: Sequence[str]) -> list[list[int]]:
        if not texts:
            return []
        found: list[list[int]] = self.base.tokenizer(list(texts), add_special_tokens=False)[
            "input_ids"
        ]
        return found

    def _framed(self, sample: Sample) -> _Framed | Refused:
        """The chat up to each answer, with and without it, and whole."""
        if sample.pictures and self.base.processor is None:
            raise ModelError(
                f"model {self.base.name} sees no pictures and sample {sample.row_id} has some; "
                "name a vision-language model, or a selection of text alone"
            )
        turns = _learnable(sample.turns)
        answers = [place for place, (role, _) in enumerate(turns) if role == "assistant"]
        if not answers:
            return Refused("no_answer")
        if answers[0] == 0:
            return Refused("no_question")
        if any(MARK in turns[place][1] for place in answers) and sample.pictures:
            return Refused("picture_in_answer")
        chat = self.base.chat.chat
        before = [chat(turns[:place]) for place in answers]
        after = [chat(turns[: place + 1], ask=False) for place in answers]
        texts = [text for text in (*before, *after) if text is not None]
        if len(texts) < 2 * len(answers):
            return Refused("template_refused", "the chat template refuses these turns")
        pictures = [sum(text.count(MARK) for _, text in turns[:place]) for place in answers]
        return _Framed(texts, pictures if sample.pictures else [0] * len(answers))

    def _encoded(
        self, sample: Sample, framed: _Framed, ids: Sequence[list[int]]
    ) -> Encoded | Refused:
        count, whole = len(framed.pictures), ids[-1]
        for text, part in zip(framed.texts, ids, strict=True):
            if not framed.texts[-1].startswith(text):
                raise ModelError(
                    f"the chat template of {self.base.name} writes earlier turns anew as a chat "
                    f"goes on (sample {sample.row_id}), so that no place of an answer is sure; "
                    "give the model a template that only appends"
                )
            if whole[: len(part)] != part:
                return Refused("merged_tokens", "an answer's first letters join its heading")
        runs = [
            self._run(whole, len(before), len(after), pictures)
            for before, after, pictures in zip(
                ids[:count], ids[count:], framed.pictures, strict=True
            )
        ]
        try:
            added = tuple(self._added(one.width, one.height) for one in sample.pictures)
        except ValueError as error:
            return Refused("picture_refused", " ".join(str(error).split()))
        kept = tuple(run for run in runs if run.stop > run.start)
        return Encoded(np.array(whole, np.int32), kept, added) if kept else Refused("no_answer")

    def _run(self, ids: Sequence[int], start: int, stop: int, pictures: int) -> Run:
        """An answer's tokens, up to the last that ends a turn where there is one."""
        last = next((p for p in range(stop - 1, start - 1, -1) if ids[p] in self.ends), stop - 1)
        return Run(start, last + 1, pictures)

    def _added(self, width: int, height: int) -> int:
        """Tokens that the processor puts in for a picture of this size, beyond its mark.

        Measured on a blank one. Raises ValueError where the processor refuses the size.
        """
        size = limited(width, height, self.max_pixels)
        if size not in self.sizes:
            from PIL import Image

            text = self.base.chat.chat([("user", f"{MARK}?")])
            if text is None:
                raise ModelError(f"the chat template of {self.base.name} refuses a picture")
            shown = self.base.processor(
                text=[text], images=[[Image.new("RGB", size)]], add_special_tokens=False
            )
            self.sizes[size] = len(shown["input_ids"][0]) - len(self._tokens([text])[0])
        return self.sizes[size]


class _Framed(NamedTuple):
    """Texts before each answer, then with each answer; the pictures before each."""

    texts: list[str]
    pictures: list[int]


def _learnable(turns: Sequence[Turn]) -> list[Turn]:
    """The turns up to the last answer."""
    last = max((place for place, (role, _) in enumerate(turns) if role == "assistant"), default=-1)
    return list(turns[: last + 1])


def _ends(base: Base) -> frozenset[int]:
    """Tokens that end a turn: whatever the model stops at when it generates."""
    settings = getattr(base.model, "generation_config", None)
    told: Any = getattr(settings, "eos_token_id", None)
    ends = told if isinstance(told, list) else [told]
    return frozenset(int(end) for end in [*ends, base.tokenizer.eos_token_id] if end is not None)
