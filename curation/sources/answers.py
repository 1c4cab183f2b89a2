"""Read the answer of a choice question: an option's letter, text or place, or none of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from curation.sources.choices import Option, read_options
from medsift.options import LETTERS, folded, letter_of, lettered, split_options, without_letter

AnswerIndex = Literal[0, 1] | None

NONE_OF_THEM: Final = "answer: none of the options"
EQUAL_OPTIONS: Final = "options: two are equal"
TWO_READINGS: Final = "answer: the label of one option and the text of another"
A_PLACE: Final = "answer: a number beside options without numbers; set answer_index to 0 or 1"
OTHER_LIST: Final = "options: the question lists other options"
TURNED: Final = "answer: turned into the letter of its option"
FLAGS: Final = (NONE_OF_THEM, EQUAL_OPTIONS, TWO_READINGS, A_PLACE, OTHER_LIST)
"""Notes on a choice question that somebody should check; the run reports how many there are."""

_BARE: Final = re.compile(
    r"""^[\s"'(\[{]*(?:(?:options?|choices?|opt?)[\s_.-]*)?([A-Za-z]|\d{1,2})(?:\.0)?[\s"')\]}.,:;]*$""",
    re.I,
)
_SEVERAL: Final = re.compile(r"^[\s\[({'\"]*[A-Za-z](?:\W+(?:and\W+)?[A-Za-z])+[\s\])}'\"]*$")
_RUN: Final = re.compile(r"^[A-Z]{2,}$")


@dataclass(frozen=True, slots=True)
class Choice:
    """A question with its options listed, its answer in their letters, and notes."""

    question: str | None
    answer: str | None
    options: list[str]
    notes: list[str] = field(default_factory=list)


def choose(
    question: str | None, answer: str | None, cell: Any, answer_index: AnswerIndex = None
) -> Choice:
    """Put the options of a cell under the question and write the answer in their letters.

    The options are listed as ``A. …`` on lines of their own, unless the question lists them with
    letters. An answer that is an option's label (letter or number) or place becomes its letter
    here, one that is an option's text stays. Anything else stays as it is and is flagged. Raises
    RowFault for options that cannot be read.

    Args:
        question: The record's question; nothing is put under one that is missing.
        answer: The record's answer, in any of these forms.
        cell: The options, in any form that `read_options` takes.
        answer_index: Number of the first option, where numbers are places in the list of options;
            None, the default, takes no number for a place.
    """
    options = read_options(cell)
    texts = [option.text for option in options]
    if not options or question is None:
        return Choice(question, answer, texts)
    notes = []
    if len({folded(text) for text in texts}) < len(texts):
        notes.append(EQUAL_OPTIONS)
    listed = split_options(question)[1]
    if len(listed) != len(texts):
        question = f"{question}\n{lettered(texts)}"
        listed = []
    elif not _same_list(listed, texts):
        notes.append(OTHER_LIST)
    resolved, note = _resolve(answer, options, answer_index)
    # A question that lists its options itself keeps the letters that the answer was written for.
    if note == TURNED and listed:
        return Choice(question, answer, texts, notes)
    return Choice(question, resolved, texts, notes if note is None else [*notes, note])


def _same_list(listed: Sequence[str], texts: Sequence[str]) -> bool:
    own, cell = [[folded(text) for text in options] for options in (listed, texts)]
    # The rest of the question may follow the last option in its line.
    return own[:-1] == cell[:-1] and own[-1].startswith(cell[-1])


def _resolve(
    answer: str | None, options: Sequence[Option], answer_index: AnswerIndex
) -> tuple[str | None, str | None]:
    """Return the answer in the letters of the list, and a note."""
    if answer is None or not answer.strip():
        return answer, None
    bare = _BARE.match(answer)
    label = bare[1].upper() if bare else None
    number = int(label) if label is not None and label.isdigit() else None
    if number is not None and answer_index is not None:
        place = number - answer_index
        if 0 <= place < len(options):
            return LETTERS[place], TURNED
        return answer, NONE_OF_THEM
    by_label = _labelled_by(answer.strip().upper() if label is None else label, options)
    texts = [folded(option.text) for option in options]
    by_text = [place for place, text in enumerate(texts) if text == folded(answer)]
    if by_label is not None:
        if by_text and by_text != [by_label]:
            return answer, TWO_READINGS
        letter = LETTERS[by_label]
        if answer.strip() == letter:
            return answer, None
        same = answer.strip().strip("()[].:,;'\" ").upper() == letter
        return letter, None if same else TURNED
    if by_text:
        return answer, None
    if number is not None and all(option.key is None or option.key.isalpha() for option in options):
        return answer, A_PLACE
    return _other(answer, options)


def _other(answer: str, options: Sequence[Option]) -> tuple[str | None, str | None]:
    # "B. spleen": letter and text, which must be one option's.
    letter = letter_of(answer)
    place = _labelled_by(letter, options)
    if place is not None and letter is not None:
        text = folded(without_letter(answer, letter))
        if text == folded(options[place].text):
            return (answer if LETTERS[place] == letter else LETTERS[place]), None
    return _several(answer, options) or (answer, NONE_OF_THEM)


def _several(answer: str, options: Sequence[Option]) -> tuple[str, str | None] | None:
    """Return more than one label, "A, C" or "AC", in the letters of the list."""
    if not (_SEVERAL.match(answer) or _RUN.match(answer.strip())):
        return None
    labels = re.findall(r"[A-Za-z](?![a-z])", re.sub(r"(?i)\band\b", " ", answer))
    places = [_labelled_by(label.upper(), options) for label in labels]
    if None in places or len(set(places)) < len(places):
        return None
    letters = [LETTERS[place] for place in places if place is not None]
    same = letters == [label.upper() for label in labels]
    return (answer, None) if same else (", ".join(letters), TURNED)


def _labelled_by(label: str | None, options: Sequence[Option]) -> int | None:
    if label is None:
        return None
    keys = [
        LETTERS[place] if option.key is None else option.key.upper()
        for place, option in enumerate(options)
    ]
    if label in keys:
        return keys.index(label)
    # Numbered options may be answered by the letters that they are listed with.
    numbered = all(key.isdigit() for key in keys)
    known = numbered and label.isalpha() and label in LETTERS[: len(options)]
    return LETTERS.index(label) if known else None
