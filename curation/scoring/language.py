"""Compute how likely answers are with and without their question, for `ifd` and `perplexity`.

Each distinct (conversation, answer) is put to a language model once, whichever scorers ask and in
how many runs: losses are cached under the model's identity, and streamed so that a killed stage
repeats no more than the work in progress.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import pyarrow as pa
from pydantic import Field

from curation.scoring.scorer import ScorerConfig, ScoringContext
from medsift import records
from medsift.arrays import Doubles
from medsift.device_clock import DeviceClock
from medsift.execution import Resources, Tables
from medsift.models import AnyLanguageModel, EmbeddedModelConfig
from medsift.models.chat_format import FRAMING_VERSION, ChatFormat, Tokens, Turn
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
    [pa.field("content_id", pa.string(), nullable=False)]
    + [pa.field(name, pa.float64()) for name in ("conditioned", "direct")]
    + [pa.field(name, pa.int32()) for name in ("tokens", "cut")]
    + [pa.field("spelled", pa.string())]
)
"""Mean loss of an answer's first `tokens` tokens, `cut` of which were left out, in nats.

Null where a text spells a token of the model's own, which is named under `spelled`.
"""


@dataclass(frozen=True)
class Exchange:
    """An answer and the turns before it, without picture marks."""

    content_id: str
    turns: tuple[Turn, ...]
    answer: str

    @property
    def characters(self) -> int:
        """What it costs, roughly; an answer is read twice."""
        words = sum(len(content) for _, content in self.turns) + 2 * len(self.answer)
        return words + TEMPLATE_CHARACTERS


AnyExchange = TypeVar("AnyExchange", bound=Exchange)


@dataclass(frozen=True, slots=True)
class AnswerLosses:
    """Mean loss (n,) of each sample's answer in nats a token, rounded to 5 significant digits.

    `conditioned` on the conversation before it, `direct` with nothing asked; NaN for a sample
    without answer or without question, for a prompt that leaves no room for an answer, and for
    texts that spell a token of the model's own.
    """

    conditioned: Doubles
    direct: Doubles


class LanguageScorerConfig(ScorerConfig):
    """Settings of a scorer that asks a language model how likely answers are."""

    model: AnyLanguageModel = EmbeddedModelConfig()
    """The language model; the embedded one shows the way and knows little medicine."""
    max_tokens: int = Field(1024, ge=16)
    """Longest sequence in tokens; the end of an answer that goes beyond it is left out."""
    batch_tokens: int | None = Field(None, ge=1)
    """Tokens at once, padding included; when not given 512 on a CPU and 8,192 on a GPU."""

    def fingerprint(self) -> Any:
        """Return the identity of the losses, without the size of batches. Raises ModelError."""
        return [self.kind, self.losses_fingerprint()]

    def losses_fingerprint(self) -> str:
        """Return what scorers of one model share. Raises ModelError when it cannot be loaded."""
        versions = [LOSSES_VERSION, FRAMING_VERSION, DIGITS]
        identity = ["answer losses", versions, self.model.fingerprint(), self.max_tokens]
        return records.fingerprint(identity)

    def losses(self, context: ScoringContext) -> AnswerLosses:
        """Return the losses of the pool's answers, from the cache where it has them.

        Raises:
            ModelError: the model cannot be loaded.
        """
        exchanges = [read_exchange(turns) for turns in context.pool.samples["messages"].to_pylist()]
        cache = context.cache.absolute()
        context.executor.stream(
            cut_into_items(
                {exchange.content_id: exchange for exchange in exchanges if exchange is not None}
            ),
            lambda: ScoreAnswers(self, cache),
            context.folder,
            context.advance,
            Resources(lasting=True, accelerated=True),
        )
        table = read_folder(context.folder / "losses", LOSSES)
        _report(exchanges, table)
        row_of = {content: row for row, content in enumerate(table["content_id"].to_pylist())}
        rows = [-1 if exchange is None else row_of[exchange.content_id] for exchange in exchanges]
        # -1 is the last value, which is added: samples without an exchange have none.
        conditioned, direct = (
            np.array([*table[name].to_pylist(), None], np.float64)[np.array(rows, np.int64)]
            for name in ("conditioned", "direct")
        )
        return AnswerLosses(conditioned, direct)


def read_exchange(messages: Sequence[Mapping[str, str]]) -> Exchange | None:
    """Return a conversation's last answer and what led to it; None where either is missing."""
    turns = [
        (turn["role"], IMAGE_MARKER.sub("", turn["content"] or "").strip()) for turn in messages
    ]
    answers = [number for number, (role, _) in enumerate(turns) if role == "assistant"]
    if not answers or not turns[answers[-1]][1]:
        return None
    before, answer = tuple(turns[: answers[-1]]), turns[answers[-1]][1]
    if not any(role == "user" and content for role, content in before):
        return None
    return Exchange(records.digest("exchange", *chain(*before), answer), before, answer)


def cut_into_items(exchanges: Mapping[str, Exchange]) -> list[tuple[Exchange, ...]]:
    """Cut exchanges into items of about equal cost."""
    # Longest first: an item has little padding, and the last ones to finish are short.
    ordered = sorted(
        exchanges.values(), key=lambda exchange: (-exchange.characters, exchange.content_id)
    )
    items: list[list[Exchange]] = []
    room = 0
    for exchange in ordered:
        if room <= 0:
            items.append([])
            room = CHARACTERS_PER_ITEM
        items[-1].append(exchange)
        room -= exchange.characters
    return [tuple(item) for item in items]


class ScoreAnswers:
    """Worker: compute losses of exchanges; the model is loaded for the first uncached one."""

    def __init__(self, config: LanguageScorerConfig, cache: Path) -> None:
        self.config = config
        fingerprint = config.losses_fingerprint()
        self.cache = TableCache(cache / "losses", fingerprint, key="content_id")
        self.clock = DeviceClock()

    @property
    def spent(self) -> Mapping[str, float]:
        """How long the model worked on the last item, and how long it waited."""
        return self.clock.spent

    def __call__(self, item: Sequence[Exchange]) -> Iterator[Tables]:
        """Yield `losses` by content id."""
        with self.clock.item():
            yield {"losses": read_through(self.cache, item, self._score)}

    @cached_property
    def _loaded(self) -> tuple[AnswerLikelihood, ChatFormat, ReservedTokens]:
        likelihood = AnswerLikelihood(load_once(self.config.model), self.config.batch_tokens)
        tokenizer = likelihood.language.tokenizer
        return likelihood, ChatFormat(tokenizer), ReservedTokens(tokenizer)

    def _score(self, exchanges: Sequence[Exchange]) -> pa.Table:
        """Put each answer to the model twice: after its question, and with nothing asked."""
        with self.clock.loading():
            likelihood, framing, reserved = self._loaded
        spelled = [
            reserved.first([*(content for _, content in exchange.turns), exchange.answer])
            for exchange in exchanges
        ]
        prompts = framing.prompts([exchange.turns for exchange in exchanges])
        answers = framing.answers([exchange.answer for exchange in exchanges])
        limit = min(self.config.max_tokens, likelihood.language.context)
        # Both losses are of the same tokens, those that have room after the prompt.
        kept = [
            [] if prompt is None or token is not None else answer[: max(0, limit - len(prompt))]
            for prompt, answer, token in zip(prompts, answers, spelled, strict=True)
        ]
        before = [prompt or [] for prompt in prompts] + [framing.opening] * len(kept)
        sequences = [
            Tokens(start + answer, len(start))
            for start, answer in zip(before, kept + kept, strict=True)
        ]
        with self.clock.working():
            losses = round_to_digits(likelihood.losses(sequences))
        columns = {
            "content_id": [exchange.content_id for exchange in exchanges],
            "conditioned": pa.array(losses[: len(kept)], from_pandas=True),
            "direct": pa.array(losses[len(kept) :], from_pandas=True),
            "tokens": [len(answer) for answer in kept],
            "cut": [len(whole) - len(part) for whole, part in zip(answers, kept, strict=True)],
            "spelled": pa.array(spelled, pa.string()),
        }
        return pa.table(columns, schema=LOSSES)


def read_through(
    cache: TableCache,
    item: Sequence[AnyExchange],
    score: Callable[[Sequence[AnyExchange]], pa.Table],
) -> pa.Table:
    """Return an item's rows by content id: those of the cache, and the others, then cached."""
    known = cache.lookup([exchange.content_id for exchange in item])
    cached = set(known["content_id"].to_pylist())
    new = [exchange for exchange in item if exchange.content_id not in cached]
    if not new:
        return known.sort_by("content_id")
    scored = score(new)
    cache.append(scored)
    # An empty cache gives a table of the key alone, which does not concatenate.
    return pa.concat_tables([known, scored] if cached else [scored]).sort_by("content_id")


def round_to_digits(values: Doubles) -> Doubles:
    """Round values (n,) to 5 significant digits, below which machines differ."""
    return np.array([float(f"{value:.{DIGITS}g}") for value in values], np.float64)


def report_spelled(scorer: str, table: pa.Table) -> None:
    """Log how many exchanges have no value for a token of the model's own, and name exchange."""
    spelled = table["spelled"].drop_null()
    if len(spelled):
        logger.warning(
            "%s is null for %d of %d distinct exchanges: their texts spell a token of the model's "
            "own, such as %s",
            *(scorer, len(spelled), table.num_rows, spelled[0].as_py()),
        )


def _report(exchanges: Sequence[Exchange | None], table: pa.Table) -> None:
    """Log how many answers were left out, or judged by their beginning alone."""
    lengths = table["tokens"].to_numpy()
    cut = int(((table["cut"].to_numpy() > 0) & (lengths > 0)).sum())
    missing = exchanges.count(None)
    report_spelled("answer loss", table)
    refused = int((lengths == 0).sum()) - len(table["spelled"].drop_null())
    if missing or refused or cut:
        logger.info(
            "of %d samples %d have no question or no answer; of %d distinct exchanges %d have a "
            "prompt that the model has no room for, and %d answers are judged by their beginning",
            *(len(exchanges), missing, table.num_rows, refused, cut),
        )
