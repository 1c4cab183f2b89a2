"""Score how well a sample's words are made: seven faults, in English and Chinese."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal

import numpy as np

from curation.matching.lettered_options import choices
from curation.pool import Pool
from curation.scoring.scorer import ScorerConfig, ScoringContext
from curation.scoring.text_patterns import (
    ABSENCE,
    ALTERNATIVE,
    ASSISTANT,
    CLOSED_QUESTION,
    LETTER,
    LONG_RUN,
    MAY_BE_ABSENT,
    NON_ANSWERS,
    REFUSAL,
    TELL_ME,
    expected_script,
    script,
    tokens,
)
from medsift.arrays import Doubles
from medsift.text import is_cjk, normalise_answer, normalise_question

# Texts that repeat a fifth of their word groups are ordinary prose.
REPEATS_ALLOWED: Final = 0.2
SHORT: Final = 16
LONG_WORD: Final = 12
EXPLANATION: Final = 5
LONG_ANSWER: Final = 8
OPENING: Final = 3
# Characters in which an assistant comes to speak of itself, and the longest non-answer.
PREAMBLE, SILENCE = 300, 30
TEMPLATE_SHARE: Final = 0.05
TEMPLATE_COUNT: Final = 20
TOO_SHORT, MISMATCH, LEAK = 0.2, 0.3, 0.3


class TextQualityConfig(ScorerConfig):
    """Settings of `text_quality`; it has none."""

    kind: Literal["text_quality"]

    def score(self, context: ScoringContext) -> Doubles:
        """Quality (n,) of each sample's first question and last answer, from 0 to 1."""
        exchanges = read_exchanges(context.pool)
        shares = opening_shares(set(exchanges))
        known = {exchange: quality(exchange, shares) for exchange in set(exchanges)}
        return np.array([known[exchange] for exchange in exchanges], np.float64)


@dataclass(frozen=True)
class Exchange:
    """A question and its answer, with the tags that say how to read them."""

    question: str
    answer: str
    answer_type: str | None
    language: str | None

    @cached_property
    def words(self) -> list[str]:
        """Words of the answer; each Chinese character is one."""
        return tokens(self.answer)

    @cached_property
    def is_open(self) -> bool:
        """Whether the answer is free; of an untagged one the question's first word tells."""
        if self.answer_type is None:
            return CLOSED_QUESTION.search(self.question) is None and not choices(self.question)
        return self.answer_type == "open"


def read_exchanges(pool: Pool) -> list[Exchange]:
    """Question and answer of each sample (n)."""
    columns = ("question", "answer", "answer_type", "language")
    lines = zip(*(pool.samples[name].to_pylist() for name in columns), strict=True)
    return [Exchange(question or "", answer or "", *tags) for question, answer, *tags in lines]


def quality(exchange: Exchange, shares: dict[tuple[str, ...], float]) -> float:
    """Product of seven factors, each 1 where nothing is wrong: one bad defect is enough."""
    return (
        repetition(exchange)
        * length(exchange)
        * boilerplate(exchange, shares)
        * refusal(exchange)
        * non_answer(exchange)
        * language(exchange)
        * leak(exchange)
    )


def repetition(exchange: Exchange) -> float:
    """1 down to 0 as the share of repeated word groups goes from a fifth to all.

    Groups of four words, or of two in answers under `SHORT` words (after the repeated n-grams of
    Rae et al. 2021, arXiv 2112.11446, table A1); 0 where one character runs on and on.
    """
    words = exchange.words
    if any(LONG_RUN.search(word) for word in words if len(word) >= LONG_WORD):
        return 0.0
    size = 2 if len(words) < SHORT else 4
    groups = [tuple(words[place : place + size]) for place in range(len(words) - size + 1)]
    if not groups:
        return 1.0
    repeated = 1.0 - len(set(groups)) / len(groups)
    return 1.0 - max(0.0, repeated - REPEATS_ALLOWED) / (1.0 - REPEATS_ALLOWED)


def length(exchange: Exchange) -> float:
    """0 without any word, `TOO_SHORT` for a letter where an answer is free.

    Where an explanation is asked for, less than `EXPLANATION` words count in proportion.
    """
    count = len(exchange.words)
    if count == 0:
        return 0.0
    if not exchange.is_open:
        return 1.0
    if LETTER.fullmatch(exchange.answer.strip()):
        return TOO_SHORT
    if TELL_ME.search(exchange.question):
        return min(1.0, count / EXPLANATION)
    return 1.0


def boilerplate(exchange: Exchange, shares: dict[tuple[str, ...], float]) -> float:
    """0 where an assistant speaks of itself; 1 - half the share of answers that open alike."""
    if ASSISTANT.search(exchange.answer[:PREAMBLE]):
        return 0.0
    return 1.0 - 0.5 * shares.get(tuple(exchange.words[:OPENING]), 0.0)


def opening_shares(exchanges: Iterable[Exchange]) -> dict[tuple[str, ...], float]:
    """Share of the distinct long answers that open with the same words, of openings in fashion."""
    seen = {exchange.answer: exchange.words for exchange in exchanges}
    long = [tuple(words[:OPENING]) for words in seen.values() if len(words) >= LONG_ANSWER]
    return {
        opening: count / len(long)
        for opening, count in Counter(long).items()
        if count >= max(TEMPLATE_COUNT, TEMPLATE_SHARE * len(long))
    }


def refusal(exchange: Exchange) -> float:
    """0 where the answer declines to answer."""
    return 0.0 if REFUSAL.search(exchange.answer[:PREAMBLE]) else 1.0


def non_answer(exchange: Exchange) -> float:
    """0 where a free answer says that there is none.

    "None" to "Which lesions are present?" is an answer, to "Which organ is shown?" it is not.
    """
    if not exchange.is_open or len(exchange.answer) > SILENCE:
        return 1.0
    said = normalise_answer(exchange.answer)
    if said in ABSENCE and MAY_BE_ABSENT.search(exchange.question):
        return 1.0
    return 0.0 if said in NON_ANSWERS else 1.0


def language(exchange: Exchange) -> float:
    """`MISMATCH` where the scripts of tag, question and answer differ, as far as they tell."""
    scripts: Sequence[str | None] = (
        expected_script(exchange.language),
        script(exchange.question),
        script(exchange.answer),
    )
    return MISMATCH if len({found for found in scripts if found}) > 1 else 1.0


def leak(exchange: Exchange) -> float:
    """`LEAK` where the question contains a free answer that it does not offer as a choice."""
    if not exchange.is_open or len(exchange.answer) > len(exchange.question):
        return 1.0
    if choices(exchange.question) or ALTERNATIVE.search(exchange.question):
        return 1.0
    answer, question = normalise_answer(exchange.answer), normalise_question(exchange.question)
    if is_cjk(answer):
        found = len(answer) > 1 and answer in question
    else:
        found = any(map(str.isalpha, answer)) and f" {answer} " in f" {question} "
    return LEAK if found else 1.0
