"""Read the questions that a teacher made of a caption, and refuse those that teach nothing."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from curation.construct.gates import speaks_otherwise
from curation.construct.json_reply import find_json
from curation.construct.kept_fact import conflicts, contains
from curation.construct.verify import AskedQuestion, asked_question
from curation.meaning import recognise
from medsift.normal_form import normal_form
from medsift.options import (
    LETTERS,
    folded,
    letter_of,
    lettered,
    split_options,
    without_letter,
    without_letters,
)
from medsift.records import digest
from medsift.replies.closed import polarity

MOST_CHARACTERS: Final = 2_000
NAMES_CAPTION: Final = re.compile(
    r"\b(?:caption|legend|description|figure text)\b"
    r"|\b(?:according to|(?:stated|described|mentioned) in) the (?:text|report|passage)\b"
    r"|图注|图例|说明文字|描述中|文中",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class CaptionQuestion:
    """A question with its answer as the teacher wrote them; `options` are none or several."""

    question: str
    options: tuple[str, ...]
    answer: str

    def listed(self, seed: int, content: str) -> CaptionQuestion:
        """Return it with its options shuffled: the order follows from seed, caption and question.

        Teachers put the right option first more often than by chance.
        """
        lot = random.Random(digest("options", str(seed), content, self.question))
        options = list(self.options)
        lot.shuffle(options)
        return CaptionQuestion(self.question, tuple(options), self.answer)

    @property
    def text(self) -> str:
        """Return the question with its options, as sources of choice questions are read."""
        return f"{self.question}\n{lettered(self.options)}" if self.options else self.question

    @property
    def gold(self) -> str:
        """Return the answer to learn: the letter of an option, or the words."""
        at = _place(self.options, self.answer)
        return LETTERS[at] if at is not None else self.answer

    def asked(self, language: str | None) -> AskedQuestion:
        """Return it as answers to it are verified."""
        return asked_question(self.text, self.gold, language)


def read_questions(text: str) -> list[CaptionQuestion] | None:
    """Return the questions in a reply; None where it has no list of JSON.

    Items that are no question with its answer are left out.
    """
    found = find_json(text, list)
    return None if found is None else [one for item in found if (one := _read(item)) is not None]


def find_question_faults(
    one: CaptionQuestion, caption: str, before: Sequence[CaptionQuestion], language: str | None
) -> list[str]:
    """Return why a question is refused, as codes in a fixed order; empty for a good one.

    Args:
        one: the question.
        caption: what it was made of.
        before: accepted questions of the caption.
        language: the caption's tag.
    """
    spoken = recognise(caption, language)
    pole = polarity(one.answer)
    at = _place(one.options, one.answer)
    answer = one.answer if at is None else one.options[at]
    said = f"{one.question} {answer}"
    checks = {
        "names_caption": NAMES_CAPTION.search(said) is not None,
        "asked_twice": any(normal_form(one.question) == normal_form(b.question) for b in before),
        "options_unfit": bool(one.options)
        and (at is None or len({folded(option) for option in one.options}) < len(one.options)),
        # What is asked by yes or no need not be in the caption's own words.
        "not_in_caption": pole is None
        and (not contains(caption, answer, spoken) or conflicts(answer, caption)),
        "answer_in_question": pole is None and contains(one.question, answer, spoken),
        "other_language": speaks_otherwise(one.question, caption, language),
    }
    return [code for code, refused in checks.items() if refused]


def _read(item: Any) -> CaptionQuestion | None:
    if not isinstance(item, dict):
        return None
    question, answer, options = (item.get(name) for name in ("question", "answer", "options"))
    if not isinstance(question, str) or not isinstance(answer, str):
        return None
    listed = options if isinstance(options, list) else []
    if not all(isinstance(option, str) and option.strip() for option in listed):
        return None
    if len(question) + len(answer) + sum(map(len, listed)) > MOST_CHARACTERS:
        return None
    stem, inside = split_options(question)
    if not listed and inside:
        question, listed = stem, inside
    plain = tuple(without_letters(listed)) if len(listed) > 1 else ()
    if not question.strip() or not answer.strip() or len(plain) > len(LETTERS):
        return None
    return CaptionQuestion(" ".join(question.split()), plain, _plain_answer(answer, plain))


def _plain_answer(answer: str, options: Sequence[str]) -> str:
    """Return the words of the answer, also where it was given by its letter."""
    text = answer.strip()
    if options and _place(options, text) is None:
        letter = text.rstrip(").:").lstrip("(").upper()
        if len(letter) == 1 and letter in LETTERS[: len(options)]:
            return options[LETTERS.index(letter)]
        bare = without_letter(text, letter_of(text) or "")
        return bare if _place(options, bare) is not None else text
    return text


def _place(options: Sequence[str], answer: str) -> int | None:
    wanted = folded(answer)
    return next((at for at, one in enumerate(options) if folded(one) == wanted), None)
