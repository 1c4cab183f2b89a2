"""Verify a teacher's answer against the sample's own: the first rung that decides, decides.

The rungs, in order: the letter or text of an option; yes or no; the same words, up to
plurals and listed synonyms; a number with its unit; nearly the same words without a
conflict of side, negation or number. What no rung decides is undecided, and never accepted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from curation.meaning import Meaning, alike, contrast, read_meaning, recognise
from medsift.errors import InputError
from medsift.options import split_options, without_letter
from medsift.replies.answers import EMPTY, Answer, read_closed, read_open, read_option
from medsift.replies.choice import LETTERS, right_options
from medsift.replies.closed import polarity
from medsift.replies.text_overlap import best_overlap, gold_words, words
from medsift.replies.unstated import declines
from medsift.text import protected_tokens

Outcome = Literal["right", "wrong", "undecided"]
NEARLY_ALL: Final = 0.8
"""Least token F1 of an answer in nearly the same words."""
MEASURED: Final = frozenset({"number", "length", "mass", "volume"})
"""Groups of meaning that are one measured value."""
DECISIVE: Final = frozenset({"left", "right", "bilateral", "unilateral", "not"})
"""Protected words of which a difference makes another answer; numbers are such words too."""


class Verdict(NamedTuple):
    """Whether an answer is right, and the rung that decided: `none` where no rung did."""

    outcome: Outcome
    by: str


UNDECIDED: Final = Verdict("undecided", "none")


@dataclass(frozen=True, slots=True)
class AskedQuestion:
    """A question with its right answer; `options` are those that it lists, without letters."""

    question: str
    gold: str
    options: tuple[str, ...]
    language: str | None


def asked_question(question: str, gold: str, language: str | None = None) -> AskedQuestion:
    """Read the options of a question and the language of its words.

    A list in the question that does not have the right answer offers no options to choose from.
    """
    _, listed = split_options(question)
    options = tuple(listed[: len(LETTERS)])
    if options and not _right(gold, options):
        plain = (without_letter(gold, letter) for letter in LETTERS[: len(options)])
        gold = next((text for text in plain if _right(text, options)), gold)
        options = options if _right(gold, options) else ()
    spoken = recognise(question, language)
    return AskedQuestion(question, gold, options, recognise(gold, language, spoken))


def verify(answer: str, asked: AskedQuestion) -> Verdict:
    """Compare an answer, without its reasoning, with the right one."""
    if asked.options:
        return _decided("choice", read_option(answer, asked.gold, asked.options))
    pole = polarity(asked.gold)
    if pole is not None:
        return _decided("yes_no", read_closed(answer, pole))
    reading, span, exact = read_open(answer, asked.gold)
    if exact:
        return Verdict("right", "exact")
    if span == EMPTY or reading.answer is None or declines(span.text):
        return UNDECIDED
    said = read_meaning(span.text, asked.language)
    meant = read_meaning(asked.gold, asked.language)
    if (same := same_quantity(said, meant)) is not None:
        return Verdict("right" if same else "wrong", "quantity")
    if alike(said, meant):
        return Verdict("right", "exact")
    return _by_words(span.text, said, asked, meant)


def same_quantity(said: Meaning, meant: Meaning) -> bool | None:
    """Return whether an answer names the right quantity, units converted.

    None where the right answer is more than one quantity with its signs, or the other names none,
    several, or one of another kind.
    """
    wanted, given = _quantities(meant.facts), _quantities(said.facts)
    only = all(concept.partition(":")[0] in MEASURED or _is_sign(concept) for concept in meant.key)
    if not only or len(wanted) != 1 or len(given) != 1 or given[0][0] != wanted[0][0]:
        return None
    return given == wanted and _signs(said) == _signs(meant)


def _quantities(facts: Mapping[str, frozenset[str]]) -> list[tuple[str, str]]:
    return [(group, value) for group in MEASURED & facts.keys() for value in facts[group]]


def _is_sign(concept: str) -> bool:
    return concept.startswith("sign ")


def _signs(meaning: Meaning) -> list[str]:
    return [concept.rpartition(":")[2] for concept in meaning.key if _is_sign(concept)]


def _by_words(text: str, said: Meaning, asked: AskedQuestion, meant: Meaning) -> Verdict:
    """Decide by token F1 and conflicts; a long answer may name a conflict in passing."""
    brief = len(words(text)) <= 3 * len(gold_words(asked.gold)) + 3
    if brief and contrast(said, meant):
        return Verdict("wrong", "words")
    near = best_overlap(text, (asked.gold,)).f1 >= NEARLY_ALL
    if near and decisive_words(text) == decisive_words(asked.gold):
        return Verdict("right", "words")
    return UNDECIDED


def decisive_words(text: str) -> dict[str, int]:
    """Count the words of side, negation and number, and codes such as L4."""
    counted = protected_tokens(text).items()
    decisive = (word in DECISIVE or any(map(str.isdigit, word)) for word, _ in counted)
    return {word: n for (word, n), decides in zip(counted, decisive, strict=True) if decides}


def _decided(rung: str, read: Answer) -> Verdict:
    if read.reading.answer is None:
        return UNDECIDED
    return Verdict("right" if read.right else "wrong", rung)


def _right(gold: str, options: tuple[str, ...]) -> bool:
    try:
        return bool(right_options(gold, options))
    except InputError:
        return False
