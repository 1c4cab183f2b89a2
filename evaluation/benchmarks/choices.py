"""Options and gold letters as benchmarks write them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from string import ascii_uppercase as LETTERS
from typing import Final

from curation.text import normalise_answer

YES_NO: Final = frozenset({"yes", "no"})
_MARK: Final = re.compile(r"(?:(?<=\s)|^)\(?([A-Z])(?:\)|[.:](?=\s))\s*")
_PREFIX: Final = re.compile(r"^\s*\(?([A-Z])\)?\s*[:.)]\s*")


def without_letter(option: str, letter: str) -> str:
    """An option without the letter it was published with: "A: liver" is "liver"."""
    found = _PREFIX.match(option)
    return option[found.end() :].strip() if found and found[1] == letter else option.strip()


def split_options(text: str) -> tuple[str, list[str]]:
    """A question's stem and the lettered options after it, or the text itself and none.

    Options are "(A) …", "A) …", "A. …" or "A: …", in a line or on lines of their own, from A
    without a gap, and at least two.
    """
    marks = list(_MARK.finditer(text))
    for first, mark in enumerate(marks):
        if mark[1] != "A":
            continue
        run = [mark]
        for following in marks[first + 1 :]:
            if following[1] == LETTERS[len(run)]:
                run.append(following)
        if len(run) > 1:
            ends = [following.start() for following in run[1:]] + [len(text)]
            options = [text[one.end() : end].strip() for one, end in zip(run, ends, strict=True)]
            return text[: mark.start()].strip(), options
    return text, []


def gold_letter(gold: str, options: Sequence[str]) -> str | None:
    """The letter of the right option, given as a letter or in its words; None where it is none."""
    given = gold.strip()
    if len(given) == 1 and given.upper() in LETTERS[: len(options)]:
        return given.upper()
    wanted = normalise_answer(given)
    places = [at for at, option in enumerate(options) if normalise_answer(option) == wanted]
    return LETTERS[places[0]] if places else None


def closed_or_open(gold: str) -> str:
    """`closed` where the gold is yes or no: for benchmarks that do not say."""
    return "closed" if normalise_answer(gold) in YES_NO else "open"
