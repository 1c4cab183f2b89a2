"""Which option a reply names: by letter, by letter and text, by its text, or by a clear claim."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from curation.errors import InputError
from evaluation.scoring.base import Reading
from evaluation.scoring.claims import Claims, read_claims
from evaluation.scoring.closed import polarity, read_yes_no
from evaluation.scoring.mentions import LETTERS, mark_mentions
from evaluation.scoring.spans import Span, fold
from evaluation.scoring.words import gold_words, words

__all__ = ["LETTERS", "read_choice", "right_options"]

_NAMED: Final = r"(?:(?:option|choice|answer)\s|选项?择?\s?|应选\s?)?"
BARE: Final = re.compile(rf"\W{{0,4}}{_NAMED}\W{{0,4}}([a-z])\W{{0,4}}(?:选?项)?\W{{0,4}}")
LED: Final = re.compile(rf"\W{{0,4}}{_NAMED}(?:[(\[]([a-z])[)\]]|([a-z])\s?[.):、。-])")
NOTHING: Final = Reading(None, "no option is named", settled=False)


def read_choice(span: Span, options: Sequence[str]) -> Reading:
    """Letter of the one option that a span names.

    A span is read whole where it is a letter or an option's text; else by what its clauses claim.
    `settled` says that nothing less explicit may be read instead.
    """
    known = tuple(options)
    return (
        _read_exactly(span, known) or _read_polarity(span.text, known) or _read_claims(span, known)
    )


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


def _read_exactly(span: Span, options: tuple[str, ...]) -> Reading | None:
    """A letter and no more, or the text of one option and no more."""
    same = _same_text(span, options)
    bare = BARE.fullmatch(span.text)
    if bare and len(bare[1]) == 1:
        place = ord(bare[1]) - ord("a")
        if place >= len(options):
            return None if same else Reading(None, "a letter beyond the options")
        if same and place not in same:
            return Reading(None, "a letter that is also another option's text")
        return Reading(LETTERS[place], "letter")
    if len(same) == 1:
        return Reading(LETTERS[same[0]], "text of one option")
    led = LED.match(span.text)
    if led and (place := ord(led[1] or led[2]) - ord("a")) < len(options):
        rest = span.text[led.end() :].strip()
        owners = _exact(rest, options)
        if owners:
            own = place in owners
            return Reading(
                LETTERS[place] if own else None,
                "letter and text" if own else "a letter with another option's text",
            )
    return None


def _same_text(span: Span, options: tuple[str, ...]) -> list[int]:
    """Places of the options that a span repeats, signs included, else word for word."""
    same = _exact(span.raw, options) or _exact(span.text, options)
    # "A. Normal" has the words of "normal", and says A.
    return same if same or LED.match(span.text) else _places(words(span.text), options)


def _exact(text: str, options: tuple[str, ...]) -> list[int]:
    bare = _bare(text)
    return [place for place, option in enumerate(options) if bare and _folded(option) == bare]


def _bare(text: str) -> str:
    """A text without the space, quotes and full stop around it; signs closed up to numbers."""
    text = re.sub(r"([<>=≤≥±])\s+(?=\d)", r"\1", text.strip().strip("\"'“”`*").strip())
    return text if len(text) < 2 else text.rstrip(".。!").strip()


@lru_cache(maxsize=65_536)
def _folded(option: str) -> str:
    return _bare(fold(option))


def _read_polarity(text: str, options: tuple[str, ...]) -> Reading | None:
    """Among options of which one says yes and one no, the one of the polarity the span has."""
    poles = _poles(options)
    if len({pole for pole in poles if pole is not None}) < 2 or LED.match(text):
        return None
    said = read_yes_no(text)
    if said.answer is None:
        return said if None not in poles else None
    if None in poles and said.rule == "statement":
        return None
    places = [place for place, pole in enumerate(poles) if pole is (said.answer == "yes")]
    return Reading(LETTERS[places[0]], said.rule) if len(places) == 1 else None


@lru_cache(maxsize=65_536)
def _poles(options: tuple[str, ...]) -> tuple[bool | None, ...]:
    return tuple(polarity(option) for option in options)


def _read_claims(span: Span, options: tuple[str, ...]) -> Reading:
    marked = mark_mentions(span.text, options)
    claims = read_claims(marked)
    named = claims.asserted - claims.denied
    if len(claims.asserted) == 1 and named:
        return Reading(LETTERS[next(iter(named))], "claim")
    return _unread(claims)


def _unread(claims: Claims) -> Reading:
    if len(claims.asserted) > 1 or claims.offered:
        return Reading(None, "several options are named")
    if claims.asserted:
        return Reading(None, "an option is named and denied")
    if claims.denied:
        return Reading(None, "options are only denied", settled=False)
    if claims.listed:
        return Reading(None, "options are only listed", settled=False)
    return NOTHING


def _places(tokens: Sequence[str], options: Sequence[str]) -> list[int]:
    """Places of the options whose words are exactly these."""
    if not tokens:
        return []
    return [place for place, option in enumerate(options) if gold_words(option) == tokens]
