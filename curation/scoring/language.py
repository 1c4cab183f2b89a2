"""Compute how likely answers are with and without their question, for `ifd` and `perplexity`.

Each distinct (conversation, answer) is put to a language model once, whichever scorers ask and in
how many runs: losses are cached under the model's identity, and streamed so that a killed stage
repeats no more than the work in hand.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol, TypeVar

import numpy as np
import pyarrow as pa
from pydantic import Field

from curation.scoring.scorer import ScorerConfig, ScoringContext
from medsift import records
from medsift.arrays import Doubles
from medsift.execution import Resources, Tables
from medsift.models import AnyLanguageModel, EmbeddedModelConfig, LanguageModelConfig
from medsift.models.chat_format import FRAMING_VERSION, Framing, Tokens, Turn
from medsift.models.likelihood import AnswerLikelihood
from medsift.models.load_once import load_once
from medsift.models.reserved_tokens import ReservedTokens
from medsift.storage.parts import read_folder
from medsift.storage.table_cache import TableCache
from medsift.text import IMAGE_MARKER

logger = logging.getLogger(__name__)

LOSSES_VERSION: Final = 2
DIGITS: Final = 5
# A piece of work is some 20 s on two cores; a template's own words weigh as many characters.
CHARACTERS_PER_ITEM: Final = 80_000
TEMPLATE_CHARACTERS: Final = 100

LOSSES: Final = pa.schema(
    [
        pa.field("content_id", pa.string(), nullable=False),
        pa.field("conditioned", pa.float64()),
        pa.field("direct", pa.float64()),
        pa.field("tokens", pa.int32()),
        pa.field("cut", pa.int32()),
        pa.field("spelled", pa.string()),
    ]
)
"""Mean loss of an answer's first `tokens` tokens, `cut` of which were left out, in nats.

Null where a text spells a token of the model's own, which is named under `spelled`.
"""


class Exchange(NamedTuple):
    """An answer and the turns before it, without picture marks."""

    content_id: str
    turns: tuple[Turn, ...]
    answer: str

    @property
    def characters(self) -> int:
        """What it costs, roughly."""
        words = sum(len(content) for _, content in self.turns) + 2 * len(self.answer)
        return words + TEMPLATE_CHARACTERS


class HasContent(Protocol):
    """What is cached by a content id."""

    @property
    def content_id(self) -> str:
        """Digest of all that decides the value."""
        ...


Asked = TypeVar("Asked", bound=HasContent)


class LanguageScorerConfig(ScorerConfig):
    """Settings of a scorer that asks a language model how likely answers are."""

    model: AnyLanguageModel = EmbeddedModelConfig()
    """The language model; the embedded one shows the way and knows little medicine."""
    max_tokens: int = Field(1024, ge=16)
    """Longest sequence; the end of an answer that goes beyond it is left out."""
    batch_tokens: int | None = Field(None, ge=1)
    """Tokens at once, padding included; None is 512 on a CPU and 8,192 on a GPU."""

    def fingerprint(self) -> Any:
        """Identity of the losses; the size of batches is not part of it. Raises ModelError."""
        return [self.kind, losses_fingerprint(self.model, self.max_tokens)]

    def losses(self, context: ScoringContext) -> AnswerLosses:
        """Losses of the pool's answers."""
        return answer_losses(context, self.model, self.max_tokens, self.batch_tokens)


@dataclass(frozen=True, slots=True)
class AnswerLosses:
    """Mean loss (n,) of each sample's answer in nats a token, rounded to 5 significant digits.

    `conditioned` on the conversation before it, `direct` with nothing asked; NaN for a sample
    without answer or without question, for a prompt that leaves no room for an answer, and for
    texts that spell a token of the model's own.
    """

    conditioned: Doubles
    direct: Doubles


def losses_fingerprint(model: LanguageModelConfig, max_tokens: int) -> str:
    """Identity of losses. Raises ModelError when the model cannot be loaded."""
    versions = [LOSSES_VERSION, FRAMING_VERSION, DIGITS]
    return records.fingerprint(["answer losses", versions, model.fingerprint(), max_tokens])


def answer_losses(
    context: ScoringContext,
    model: LanguageModelConfig,
    max_tokens: int,
    batch_tokens: int | None = None,
) -> AnswerLosses:
    """Losses of the pool's answers, from the cache where it has them. Raises ModelError."""
    exchanges = [exchange(messages) for messages in context.pool.samples["messages"].to_pylist()]
    items = work({one.content_id: one for one in exchanges if one is not None})
    cache = context.cache.absolute()
    context.executor.stream(
        items,
        lambda: ScoreAnswers(model, max_tokens, batch_tokens, cache),
        context.folder,
        context.advance,
        Resources(lasting=True, accelerated=True),
    )
    found = read_folder(context.folder / "losses", LOSSES)
    _report(exchanges, found)
    return _of_samples(exchanges, found)


def exchange(messages: Sequence[Mapping[str, str]]) -> Exchange | None:
    """The last answer of a conversation and what led to it; None where either is missing."""
    turns = [
        (turn["role"], IMAGE_MARKER.sub("", turn["content"] or "").strip()) for turn in messages
    ]
    places = [place for place, (role, _) in enumerate(turns) if role == "assistant"]
    if not places or not turns[places[-1]][1]:
        return None
    before, answer = tuple(turns[: places[-1]]), turns[places[-1]][1]
    if not any(role == "user" and content for role, content in before):
        return None
    return Exchange(records.digest("exchange", *chain(*before), answer), before, answer)


def work(exchanges: Mapping[str, Exchange]) -> list[tuple[Exchange, ...]]:
    """Exchanges cut into items of about equal cost, longest first: an item has little padding."""
    ordered = sorted(exchanges.values(), key=lambda one: (-one.characters, one.content_id))
    items: list[list[Exchange]] = []
    left = 0
    for one in ordered:
        if left <= 0:
            items.append([])
            left = CHARACTERS_PER_ITEM
        items[-1].append(one)
        left -= one.characters
    return [tuple(item) for item in items]


class ScoreAnswers:
    """Worker: losses of exchanges, from the cache where it has them.

    The model is loaded for the first exchange that the cache does not know.
    """

    def __init__(
        self, model: LanguageModelConfig, max_tokens: int, batch_tokens: int | None, cache: Path
    ) -> None:
        self.model = model
        self.max_tokens = max_tokens
        self.batch_tokens = batch_tokens
        fingerprint = losses_fingerprint(model, max_tokens)
        self.cache = TableCache(cache / "losses", fingerprint, key="content_id")

    def __call__(self, item: Sequence[Exchange]) -> Iterator[Tables]:
        """Yield `losses` by content id."""
        yield {"losses": through_cache(self.cache, item, self._score)}

    @cached_property
    def _likelihood(self) -> AnswerLikelihood:
        return AnswerLikelihood(load_once(self.model), self.batch_tokens)

    @cached_property
    def _framing(self) -> Framing:
        return Framing(self._likelihood.language.tokenizer)

    @cached_property
    def _reserved(self) -> ReservedTokens:
        return ReservedTokens(self._likelihood.language.tokenizer)

    def _score(self, exchanges: Sequence[Exchange]) -> pa.Table:
        """Put each answer to the model twice: after its question, and with nothing asked."""
        spelled = [
            self._reserved.first([*(said for _, said in one.turns), one.answer])
            for one in exchanges
        ]
        prompts = self._framing.prompts([one.turns for one in exchanges])
        answers = self._framing.answers([one.answer for one in exchanges])
        limit = min(self.max_tokens, self._likelihood.language.context)
        kept = [
            [] if prompt is None or token is not None else answer[: max(0, limit - len(prompt))]
            for prompt, answer, token in zip(prompts, answers, spelled, strict=True)
        ]
        before = [prompt or [] for prompt in prompts] + [self._framing.opening] * len(kept)
        sequences = [
            Tokens(start + answer, len(start))
            for start, answer in zip(before, kept + kept, strict=True)
        ]
        losses = significant(self._likelihood.losses(sequences))
        columns = {
            "content_id": [one.content_id for one in exchanges],
            "conditioned": pa.array(losses[: len(kept)], from_pandas=True),
            "direct": pa.array(losses[len(kept) :], from_pandas=True),
            "tokens": [len(answer) for answer in kept],
            "cut": [len(all_) - len(answer) for all_, answer in zip(answers, kept, strict=True)],
            "spelled": pa.array(spelled, pa.string()),
        }
        return pa.table(columns, schema=LOSSES)


def through_cache(
    cache: TableCache, item: Sequence[Asked], score: Callable[[Sequence[Asked]], pa.Table]
) -> pa.Table:
    """Rows of an item by content id: those that the cache has, and the others, then cached."""
    known = cache.lookup([one.content_id for one in item])
    have = set(known["content_id"].to_pylist())
    new = [one for one in item if one.content_id not in have]
    if not new:
        return known.sort_by("content_id")
    scored = score(new)
    cache.append(scored)
    found = [known, scored] if known.num_rows else [scored]
    return pa.concat_tables(found).sort_by("content_id")


def significant(values: Doubles) -> Doubles:
    """Values (n,) rounded to 5 significant digits, below which machines differ."""
    return np.array([float(f"{value:.{DIGITS}g}") for value in values], np.float64)


def _of_samples(exchanges: Sequence[Exchange | None], found: pa.Table) -> AnswerLosses:
    place = {content: row for row, content in enumerate(found["content_id"].to_pylist())}
    rows = np.array([-1 if one is None else place[one.content_id] for one in exchanges], np.int64)
    columns = []
    for name in ("conditioned", "direct"):
        # A last value of NaN is what -1 points at.
        values = [*found[name].to_pylist(), None]
        columns.append(np.array(values, np.float64)[rows])
    return AnswerLosses(*columns)


def report_spelled(scorer: str, found: pa.Table) -> None:
    """Say how many exchanges have no value for a token of the model's own, and name one."""
    spelled = [token for token in found["spelled"].to_pylist() if token is not None]
    if spelled:
        logger.warning(
            "%s is null for %d of %d distinct exchanges: their texts spell a token of the model's "
            "own, such as %s",
            *(scorer, len(spelled), found.num_rows, spelled[0]),
        )


def _report(exchanges: Sequence[Exchange | None], found: pa.Table) -> None:
    """Say how many answers were left out, or judged by their beginning alone."""
    lengths = found["tokens"].to_numpy()
    cut = int(((found["cut"].to_numpy() > 0) & (lengths > 0)).sum())
    missing = exchanges.count(None)
    report_spelled("answer loss", found)
    refused = int((lengths == 0).sum()) - len(found["spelled"].drop_null())
    if missing or refused or cut:
        logger.info(
            "of %d samples %d have no question or no answer; of %d distinct exchanges %d have a "
            "prompt that the model has no room for, and %d answers are judged by their beginning",
            *(len(exchanges), missing, found.num_rows, refused, cut),
        )
