"""Which option a reply names: by letter, by letter and text, by its text, or by a clear claim."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from evaluation.scoring.claims import Claims, read_claims
from evaluation.scoring.closed import REFUSAL, polarity, read_yes_no
from evaluation.scoring.mentions import LETTERS, mark_letters, mark_mentions, text_places
from evaluation.scoring.open import declines, withdraws
from evaluation.scoring.scored import Reading
from evaluation.scoring.spans import Span, fold
from evaluation.scoring.text_overlap import gold_words, words
from medsift.errors import InputError

__all__ = ["LETTERS", "read_choice", "right_options"]

_NAMED: Final = r"(?:(?:option|choice|answer)\s|选项?择?\s?|应选\s?)?"
BARE: Final = re.compile(
    rf"\W{{0,4}}{_NAMED}\W{{0,4}}([a-z])[^\w❌✗✘×]{{0,4}}(?:选?项)?[^\w❌✗✘×]{{0,4}}"
)
LED: Final = re.compile(rf"\W{{0,4}}{_NAMED}(?:[(\[]([a-z])[)\]]|([a-z])\s?[.):、。-])")
VAGUE: Final = re.compile(
    r"(?:ab)?normal(?:ity|ities)?|(?:un)?clear|(?:un)?healthy|unremarkable|none|other|正常|异常|无|其他"
)
NOTHING: Final = Reading(None, "no option is named", settled=False)


def read_choice(span: Span, options: Sequence[str]) -> Reading:
    """Letter of the one option that a span names.

    A span is read whole where it is a letter or an option's text; else by what its clauses claim.
    `settled` says that nothing less explicit may be read instead.
    """
    known = tuple(options)
    if withdraws(span.text) or (span.where == "correction" and declines(span.text)):
        return Reading(None, "declined")
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
            "of one; correct the benchmark",
            code="benchmark_unreadable",
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
    led = _read_led(span.text, options)
    if led:
        return led
    bare = BARE.fullmatch(span.text)
    if bare:
        place = ord(bare[1]) - ord("a")
        if place >= len(options) and not same:
            return Reading(None, "a letter beyond the options")
        if place >= len(options):
            return Reading(LETTERS[same[0]] if len(same) == 1 else None, "text of one option")
        if same and place not in same:
            return Reading(None, "a letter that is also another option's text")
        return Reading(LETTERS[place], "letter")
    if len(same) == 1:
        return Reading(LETTERS[same[0]], "text of one option")
    return None


def _read_led(text: str, options: tuple[str, ...]) -> Reading | None:
    """A letter followed by exactly the text of an option: its own, or another's."""
    led = LED.match(text)
    if led is None or (place := ord(led[1] or led[2]) - ord("a")) >= len(options):
        return None
    owners = _exact(text[led.end() :], options)
    if not owners:
        return None
    if place in owners:
        return Reading(LETTERS[place], "letter and text")
    return Reading(None, "a letter with another option's text")


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
    places = {place for place, pole in enumerate(poles) if pole is (said.answer == "yes")}
    if read_claims(mark_letters(text, len(options))).asserted - places:
        return Reading(None, "a letter with another option's text")
    return Reading(LETTERS[min(places)], said.rule) if len(places) == 1 else None


@lru_cache(maxsize=65_536)
def _poles(options: tuple[str, ...]) -> tuple[bool | None, ...]:
    return tuple(polarity(option) for option in options)


def _read_claims(span: Span, options: tuple[str, ...]) -> Reading:
    marked = mark_mentions(span.text, options)
    claims = read_claims(marked, _vague(options))
    named = claims.asserted - claims.denied
    if len(claims.asserted) == 1 and named and not claims.beside:
        return Reading(LETTERS[next(iter(named))], "claim")
    sole = _sole(claims, span.text, options)
    return _unread(claims) if sole is None else Reading(LETTERS[sole], "the only option left")


def _sole(claims: Claims, text: str, options: tuple[str, ...]) -> int | None:
    """The one option that is spoken of and not denied, in a reply that offers no other.

    A letter alone in prose may mean something else: it counts where other options are denied.
    """
    left = (claims.affirmed | claims.listed) - claims.denied
    barred = claims.asserted or claims.offered or claims.beside or claims.disowned
    if barred or len(left) != 1 or not left <= claims.affirmed or REFUSAL.search(text):
        return None
    place = next(iter(left))
    return place if claims.denied or place in text_places(text, options) else None


@lru_cache(maxsize=65_536)
def _vague(options: tuple[str, ...]) -> frozenset[int]:
    return frozenset(
        place for place, option in enumerate(options) if VAGUE.fullmatch(_folded(option))
    )


def _unread(claims: Claims) -> Reading:
    if len(claims.asserted) > 1 or claims.offered or claims.beside:
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
