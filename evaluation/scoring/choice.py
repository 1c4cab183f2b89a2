"""Which option a reply names: by letter, by letter and text, or by its exact text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from curation.errors import InputError
from evaluation.scoring.closed import polarity, read_yes_no
from evaluation.scoring.spans import plain
from evaluation.scoring.words import gold_words, words

LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_NAMED: Final = r"(?:(?:option|choice)\s|选项?\s?)?"
BARE: Final = re.compile(rf"\W{{0,4}}{_NAMED}\W{{0,4}}([a-z])\W{{0,4}}")
LED: Final = re.compile(rf"{_NAMED}(?:[(\[]([a-z])[)\]]|([a-z])\s?[.):、])")
ANOTHER: Final = re.compile(r"(?:and|or|&|,|/|和|或|与)?\s?[(\[]?([a-z])\s?(?:[)\].:、,/]|$)")
"""A second letter right behind the first: "(A) or (B)", "A. B."."""


def read_choice(span: str, options: Sequence[str]) -> int | None:
    """Place of the one option that a folded answer span names, None where that is unclear.

    The whole span is read first; else its first and its last line, which must not disagree.
    """
    whole = _read_line(span, options)
    if whole is None and "\n" in span:
        lines = [line for line in span.split("\n") if line.strip()]
        found = {_read_line(line.strip(), options) for line in (lines[0], lines[-1])} - {None}
        whole = found.pop() if len(found) == 1 else None
    return _by_polarity(span, options) if whole is None else whole


def right_options(gold: str, options: tuple[str, ...]) -> frozenset[int]:
    """Places of the right option; several only where the gold's text stands there twice.

    Raises InputError where the gold is neither a letter of the options nor the text of one.
    """
    found = _right_options(gold, options)
    if not found:
        raise InputError(
            f"gold answer {gold!r} is neither a letter of the {len(options)} options nor the text "
            "of one; mend the benchmark"
        )
    return found


@lru_cache(maxsize=65_536)
def _right_options(gold: str, options: tuple[str, ...]) -> frozenset[int]:
    letter = gold.strip().upper()
    if len(letter) == 1 and letter in LETTERS[: len(options)]:
        return frozenset({LETTERS.index(letter)})
    same = [place for place, option in enumerate(options) if option.strip() == gold.strip()]
    return frozenset(same or _places(gold_words(gold), options))


def _read_line(line: str, options: Sequence[str]) -> int | None:
    """A letter, a letter with text that is no other option, or the text of one option."""
    bare = BARE.fullmatch(line)
    if bare:
        return _place(bare[1], options)
    led = LED.match(line)
    if not led:
        return _only(_places(words(line), options))
    # "A. fumigatus" may be an option's text, and not option A.
    exact = _only([place for place, option in enumerate(options) if _plain(option) == line])
    if exact is not None:
        return exact
    return _read_led(_place(led[1] or led[2], options), line[led.end() :], options)


def _read_led(place: int | None, rest: str, options: Sequence[str]) -> int | None:
    """The place a leading letter names, unless what follows names another option."""
    rest = rest.strip()
    named = _places(words(rest), options)
    if not named and (again := ANOTHER.match(rest)):
        return place if _place(again[1], options) == place else None
    return place if not named or place in named else None


def _by_polarity(span: str, options: Sequence[str]) -> int | None:
    """Among options that are all yes or no, the only one of the polarity the span has."""
    poles = [polarity(option) for option in options]
    if None in poles or LED.match(span):
        return None
    said = read_yes_no(span)
    return _only([place for place, pole in enumerate(poles) if pole is said])


@lru_cache(maxsize=65_536)
def _plain(option: str) -> str:
    return plain(option).strip()


def _place(letter: str, options: Sequence[str]) -> int | None:
    place = LETTERS.index(letter.upper())
    return place if place < len(options) else None


def _places(tokens: Sequence[str], options: Sequence[str]) -> list[int]:
    """Places of the options whose words are exactly these."""
    if not tokens:
        return []
    return [place for place, option in enumerate(options) if gold_words(option) == tokens]


def _only(places: Sequence[int]) -> int | None:
    return places[0] if len(places) == 1 else None
