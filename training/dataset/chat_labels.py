"""Which tokens of a chat are learned: every answer and the end of its turn, known from token ids.

A conversation is put through the model's chat template whole, and once up to each answer. The
tokens of the shorter text must begin the tokens of the longer one; what lies between is the answer.
Nothing is searched for in text. Where a template writes earlier answers in another way once the
chat continues, these are context and not learned.
"""

from __future__ import annotations

import logging
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

logger = logging.getLogger(__name__)

Ids = NDArray[np.int64]

IGNORED: Final = -100
CHUNK: Final = 512
LABELS_VERSION: Final = 2
"""Raised when equal samples give other tokens to learn."""


class Run(NamedTuple):
    """Tokens `ids[start:stop]` that are learned; `pictures` of the sample stand before them."""

    start: int
    stop: int
    pictures: int


@dataclass(frozen=True, slots=True)
class Encoded:
    """A chat as tokens `ids` (n,), each picture still the short mark of the template.

    `added` are the tokens that each picture takes beyond its mark. `unlearned` answers stand in the
    chat and have no run: the template wrote them in another way when they were the last.
    """

    ids: NDArray[np.int32]
    runs: tuple[Run, ...]
    added: tuple[int, ...]
    unlearned: int = 0

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
        self.reserved = ReservedTokens(base.tokenizer, base.processor)
        self.pictures = PictureTokens(base, self.reserved, max_pixels)

    def text(self, sample: Sample) -> str:
        """The whole chat in the model's template, up to the last answer."""
        text = self.base.chat.chat(_learnable(sample.turns), ask=False)
        assert text is not None, "a sample that was encoded"
        return text

    def encode(self, samples: Sequence[Sample]) -> Iterator[Encoded | Refused]:
        """Tokens of each sample, or why there are none.

        Raises ModelError when the model sees no pictures and samples have some.
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
                    "first answer",
                    code="model_unsuitable",
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
        spelled = self._spelled(samples)
        framed = [self._framed(*pair) for pair in zip(samples, spelled, strict=True)]
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

    def _spelled(self, samples: Sequence[Sample]) -> list[str | None]:
        """The reserved token that each sample's turns spell, if any.

        A mark that represents a picture is none. Without pictures a model that sees takes it for
        one all the same, and then looks for what is not there.
        """
        texts, owners = [], []
        for place, sample in enumerate(samples):
            for _, said in _learnable(sample.turns):
                parts = said.split(IMAGE_MARK) if sample.pictures else [said]
                texts += parts
                owners += [place] * len(parts)
        found: list[str | None] = [None] * len(samples)
        for place, text, token in zip(owners, texts, self.reserved.spelled(texts), strict=True):
            asks = self.base.processor is not None and IMAGE_MARK in text
            found[place] = found[place] or token or (IMAGE_MARK if asks else None)
        return found

    def _framed(self, sample: Sample, spelled: str | None) -> _Framed | Refused:
        """The chat up to each answer, with and without it, and whole."""
        if sample.pictures and self.base.processor is None:
            raise ModelError(
                f"model {self.base.name} sees no pictures and sample {sample.row_id} has some; "
                "name a vision-language model, or a selection of text alone",
                code="model_unsuitable",
            )
        turns = _learnable(sample.turns)
        answers = [place for place, (role, _) in enumerate(turns) if role == "assistant"]
        if not answers:
            return Refused("no_answer")
        if answers[0] == 0:
            return Refused("no_question")
        if any(IMAGE_MARK in turns[place][1] for place in answers) and sample.pictures:
            return Refused("picture_in_answer")
        if spelled is not None:
            return Refused("special_token", f"a turn holds {spelled}, a token of the model's own")
        chat = self.base.chat.chat
        before = [chat(turns[:place]) for place in answers]
        after = [chat(turns[: place + 1], ask=False) for place in answers]
        texts = [text for text in (*before, *after) if text is not None]
        if len(texts) < 2 * len(answers):
            return Refused("template_refused", "the chat template refuses these turns")
        pictures = [sum(text.count(IMAGE_MARK) for _, text in turns[:place]) for place in answers]
        return _Framed(texts, pictures if sample.pictures else [0] * len(answers))

    def _encoded(
        self, sample: Sample, framed: _Framed, ids: Sequence[list[int]]
    ) -> Encoded | Refused:
        runs = self._runs(framed, ids)
        if isinstance(runs, Refused):
            return runs
        try:
            added = tuple(self.pictures.added(one.width, one.height) for one in sample.pictures)
        except ValueError as error:
            return Refused("picture_refused", " ".join(str(error).split()))
        if not self.pictures.all_shown(ids[-1], len(sample.pictures)):
            return Refused("template_refused", "the chat template leaves pictures out")
        kept = tuple(run for run in runs if run.stop > run.start)
        unlearned = len(framed.pictures) - len(runs)
        whole = np.array(ids[-1], np.int32)
        return Encoded(whole, kept, added, unlearned) if kept else Refused("no_answer")

    def _runs(self, framed: _Framed, ids: Sequence[list[int]]) -> list[Run] | Refused:
        """The answers whose place in the whole chat is sure; Refused where none is.

        The chat up to an answer, and with it, have to begin the whole chat: in letters, else the
        template writes earlier turns anew as a chat continues, and in tokens.
        """
        count, whole, runs = len(framed.pictures), ids[-1], []
        for place, pictures in enumerate(framed.pictures):
            texts = framed.texts[place], framed.texts[count + place]
            before, after = ids[place], ids[count + place]
            if not all(framed.texts[-1].startswith(text) for text in texts):
                continue
            if whole[: len(before)] != before or whole[: len(after)] != after:
                return Refused("merged_tokens", "an answer's first letters join its heading")
            runs.append(self._run(whole, len(before), len(after), pictures))
        return runs or Refused(
            "template_rewrites", "the chat template writes turns anew as a chat goes on"
        )

    def _run(self, ids: Sequence[int], start: int, stop: int, pictures: int) -> Run:
        """An answer's tokens, up to the last that ends a turn where there is one."""
        last = next((p for p in range(stop - 1, start - 1, -1) if ids[p] in self.ends), stop - 1)
        return Run(start, last + 1, pictures)


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
