"""Score how well a sample's words are made: seven faults, in English and Chinese."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Final, Literal

import numpy as np
import pyarrow as pa

from curation.matching.lettered_options import choices
from curation.scoring import text_patterns as patterns
from curation.scoring.scorer import ScorerConfig, ScoringContext
from medsift.arrays import Doubles
from medsift.text import is_cjk, normalise_answer, normalise_question

# Texts that repeat a fifth of their word groups are ordinary prose.
REPEATS_ALLOWED: Final = 0.2
SHORT: Final = 16
LONG_WORD: Final = 12
EXPLANATION: Final = 5
LONG_ANSWER: Final = 8
SAMPLES_AT_A_TIME: Final = 16_384
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
        """Return the quality (n,) of each sample's first question and last answer, from 0 to 1."""
        shares = opening_shares(one for block in _blocks(context.pool.samples) for one in block)
        scores, start = np.empty(len(context.pool)), 0
        for block in _blocks(context.pool.samples):
            known = {one: quality(one, shares) for one in set(block)}
            scores[start : start + len(block)] = [known[one] for one in block]
            start += len(block)
        return scores


def _blocks(samples: pa.Table) -> Iterator[list[AnsweredQuestion]]:
    """Yield some samples at a time: the words of all would be many times their text."""
    columns = samples.select(["question", "answer", "answer_type", "language"])
    for rows in columns.to_batches(SAMPLES_AT_A_TIME):
        lists = (column.to_pylist() for column in rows.columns)
        yield [
            AnsweredQuestion(question or "", answer or "", *tags)
            for question, answer, *tags in zip(*lists, strict=True)
        ]


@dataclass(frozen=True)
class AnsweredQuestion:
    """A question and its answer, with the tags that say how to read them."""

    question: str
    answer: str
    answer_type: str | None
    language: str | None

    @cached_property
    def words(self) -> list[str]:
        """Words of the answer; each Chinese character is one."""
        return patterns.tokens(self.answer)

    @cached_property
    def is_open(self) -> bool:
        """Whether the answer is free; without a tag the question's first word decides."""
        if self.answer_type is not None:
            return self.answer_type == "open"
        closed = patterns.CLOSED_QUESTION.search(self.question) is not None
        return not closed and not choices(self.question)


def quality(answered: AnsweredQuestion, shares: dict[tuple[str, ...], float]) -> float:
    """Return the product of seven factors, each 1 where nothing is wrong."""
    # A product and no mean: one bad defect is enough.
    return (
        repetition(answered)
        * length(answered)
        * boilerplate(answered, shares)
        * refusal(answered)
        * non_answer(answered)
        * language(answered)
        * leak(answered)
    )


def repetition(answered: AnsweredQuestion) -> float:
    """Return 1 down to 0 as the share of repeated word groups goes from a fifth to all.

    Groups of four words, or of two in answers under `SHORT` words (after the repeated n-grams of
    Rae et al. 2021, arXiv 2112.11446, table A1); 0 where one character runs on and on.
    """
    words = answered.words
    if any(patterns.LONG_RUN.search(word) for word in words if len(word) >= LONG_WORD):
        return 0.0
    size = 2 if len(words) < SHORT else 4
    groups = [tuple(words[start : start + size]) for start in range(len(words) - size + 1)]
    if not groups:
        return 1.0
    repeated = 1.0 - len(set(groups)) / len(groups)
    return 1.0 - max(0.0, repeated - REPEATS_ALLOWED) / (1.0 - REPEATS_ALLOWED)


def length(answered: AnsweredQuestion) -> float:
    """Return 0 without any word, `TOO_SHORT` for a letter where an answer is free.

    Where an explanation is asked for, less than `EXPLANATION` words count in proportion.
    """
    count = len(answered.words)
    if count == 0:
        return 0.0
    if not answered.is_open:
        return 1.0
    if patterns.LETTER.fullmatch(answered.answer.strip()):
        return TOO_SHORT
    if patterns.TELL_ME.search(answered.question):
        return min(1.0, count / EXPLANATION)
    return 1.0


def boilerplate(answered: AnsweredQuestion, shares: dict[tuple[str, ...], float]) -> float:
    """Return 0 where an assistant speaks of itself, else 1 - half the share of like openings."""
    if patterns.ASSISTANT.search(answered.answer[:PREAMBLE]):
        return 0.0
    return 1.0 - 0.5 * shares.get(tuple(answered.words[:OPENING]), 0.0)


def opening_shares(answered: Iterable[AnsweredQuestion]) -> dict[tuple[str, ...], float]:
    """Return the share of the distinct long answers that open alike, for common openings."""
    # An answer counts once, however many questions have it.
    seen: set[bytes] = set()
    openings: Counter[tuple[str, ...]] = Counter()
    for one in answered:
        key = blake2b(one.answer.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        if key not in seen:
            seen.add(key)
            if len(one.words) >= LONG_ANSWER:
                openings[tuple(one.words[:OPENING])] += 1
    long = openings.total()
    return {
        opening: count / long
        for opening, count in openings.items()
        if count >= max(TEMPLATE_COUNT, TEMPLATE_SHARE * long)
    }


def refusal(answered: AnsweredQuestion) -> float:
    """Return 0 where the answer declines to answer."""
    return 0.0 if patterns.REFUSAL.search(answered.answer[:PREAMBLE]) else 1.0


def non_answer(answered: AnsweredQuestion) -> float:
    """Return 0 where a free answer says that there is none.

    "None" to "Which lesions are present?" is an answer, to "Which organ is shown?" it is not.
    """
    if not answered.is_open or len(answered.answer) > SILENCE:
        return 1.0
    words = normalise_answer(answered.answer)
    if words in patterns.ABSENCE and patterns.MAY_BE_ABSENT.search(answered.question):
        return 1.0
    return 0.0 if words in patterns.NON_ANSWERS else 1.0


def language(answered: AnsweredQuestion) -> float:
    """Return `MISMATCH` where the scripts of tag, question and answer differ, if known."""
    scripts = {
        patterns.expected_script(answered.language),
        patterns.script(answered.question),
        patterns.script(answered.answer),
    }
    return MISMATCH if len(scripts - {None}) > 1 else 1.0


def leak(answered: AnsweredQuestion) -> float:
    """Return `LEAK` where the question contains a free answer that it does not offer."""
    if not answered.is_open or len(answered.answer) > len(answered.question):
        return 1.0
    if choices(answered.question) or patterns.ALTERNATIVE.search(answered.question):
        return 1.0
    answer, question = normalise_answer(answered.answer), normalise_question(answered.question)
    if is_cjk(answer):
        # A single character is in many questions by chance.
        leaked = len(answer) > 1 and answer in question
    else:
        # Whole words only, and not numbers or signs alone.
        leaked = any(map(str.isalpha, answer)) and f" {answer} " in f" {question} "
    return LEAK if leaked else 1.0
