"""Read which option a reply names: by letter, by letter and text, by its text, or by a claim.

An option is known here by its index among the item's options.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from medsift.errors import InputError
from medsift.replies.claims import read_claims
from medsift.replies.closed import REFUSAL, polarity, read_yes_no
from medsift.replies.mentions import LETTERS, mark_letters, mark_mentions, mentioned_by_text
from medsift.replies.reading import Reading
from medsift.replies.spans import Span, fold
from medsift.replies.text_overlap import gold_words, words
from medsift.replies.unstated import declines, withdraws

__all__ = ["LETTERS", "read_choice", "right_options"]

_NAMED: Final = r"(?:(?:option|choice|answer)\s|选项?择?\s?|应选\s?)?"
# A cross behind a letter denies it, so that the letter is not the answer.
BARE_LETTER: Final = re.compile(
    rf"\W{{0,4}}{_NAMED}\W{{0,4}}([a-z])[^\w❌✗✘×]{{0,4}}(?:选?项)?[^\w❌✗✘×]{{0,4}}"
)
LETTER_BEFORE_TEXT: Final = re.compile(
    rf"\W{{0,4}}{_NAMED}(?:[(\[]([a-z])[)\]]|([a-z])\s?[.):、。-])"
)
# Said of many parts of a picture: "the heart is normal" chooses no option.
VAGUE: Final = re.compile(
    r"(?:ab)?normal(?:ity|ities)?|(?:un)?clear|(?:un)?healthy|unremarkable|none|other|正常|异常|无|其他"
)


def read_choice(span: Span, options: tuple[str, ...]) -> Reading:
    """Read the letter of the one option that a span names.

    `settled` says that nothing less explicit may be read instead.
    """
    if withdraws(span.text) or (span.where == "correction" and declines(span.text)):
        return Reading(None, "declined")
    # The plainer way of answering first: free text is searched for claims only where the span is
    # neither a letter nor an option's text, since a text may itself sound like a claim.
    return (
        _letter_with_text(span.text, options)
        or _letter_or_text_alone(span, options)
        or _option_that_says_yes_or_no(span.text, options)
        or _claimed_option(span.text, options)
    )


@lru_cache(maxsize=65_536)
def right_options(gold: str, options: tuple[str, ...]) -> frozenset[int]:
    """Return indices of the right option; several only where the gold's text occurs twice.

    Raises InputError where the gold is neither a letter of the options nor the text of one.
    """
    letter = gold.strip().upper()
    if len(letter) == 1 and letter in LETTERS[: len(options)]:
        return frozenset({LETTERS.index(letter)})
    # The very same text comes first: "cyst" and "Cyst." have the same words.
    same = [index for index, option in enumerate(options) if option.strip() == gold.strip()]
    right = same or _with_words(gold_words(gold), options)
    if not right:
        raise InputError(
            f"gold answer {gold!r} is neither a letter of the {len(options)} options nor the text "
            "of one; correct the benchmark",
            code="benchmark_unreadable",
            gold=gold,
            options=list(options),
        )
    return frozenset(right)


def _letter_with_text(text: str, options: tuple[str, ...]) -> Reading | None:
    """Read a letter followed by exactly the text of an option: its own, or another's."""
    letter = LETTER_BEFORE_TEXT.match(text)
    if letter is None:
        return None
    index = ord(letter[1] or letter[2]) - ord("a")
    owners = _with_text(text[letter.end() :], options)
    if index >= len(options) or not owners:
        return None
    if index in owners:
        return Reading(LETTERS[index], "letter and text")
    return Reading(None, "a letter with another option's text")


def _letter_or_text_alone(span: Span, options: tuple[str, ...]) -> Reading | None:
    """Read a letter and no more, or the text of one option and no more."""
    # Texts before words, since words have lost signs; and with Markdown's signs first.
    owners = _with_text(span.raw, options) or _with_text(span.text, options)
    # "A. Normal" has the words of "normal", and says A.
    if not owners and not LETTER_BEFORE_TEXT.match(span.text):
        owners = _with_words(words(span.text), options)
    by_text = Reading(LETTERS[owners[0]], "text of one option") if len(owners) == 1 else None
    letter = BARE_LETTER.fullmatch(span.text)
    if letter is None:
        return by_text
    index = ord(letter[1]) - ord("a")
    if index < len(options):
        # An option may itself be a letter: "B" as the text of option A leaves open what is meant.
        if owners and index not in owners:
            return Reading(None, "a letter that is also another option's text")
        return Reading(LETTERS[index], "letter")
    if owners:
        return by_text or Reading(None, "text of one option")
    return Reading(None, "a letter beyond the options")


def _option_that_says_yes_or_no(text: str, options: tuple[str, ...]) -> Reading | None:
    """Read yes or no where one option says yes and another no."""
    poles = [polarity(option) for option in options]
    if not {True, False} <= set(poles) or LETTER_BEFORE_TEXT.match(text):
        return None
    said = read_yes_no(text)
    # With a third option ("maybe") a reply without an answer word may still name that one.
    if said.answer is None:
        return said if None not in poles else None
    if None in poles and said.rule == "statement":
        return None
    owners = {index for index, pole in enumerate(poles) if pole is (said.answer == "yes")}
    if read_claims(mark_letters(text, len(options))).asserted - owners:
        return Reading(None, "a letter with another option's text")
    return Reading(LETTERS[min(owners)], said.rule) if len(owners) == 1 else None


def _claimed_option(text: str, options: tuple[str, ...]) -> Reading:
    """Read the option that clauses assert, or the only one left that they do not deny."""
    vague = (index for index, option in enumerate(options) if VAGUE.fullmatch(_folded(option)))
    claims = read_claims(mark_mentions(text, options), frozenset(vague))
    if len(claims.asserted) == 1 and not claims.asserted & claims.denied and not claims.adds:
        return Reading(LETTERS[next(iter(claims.asserted))], "claim")
    if len(claims.asserted) > 1 or claims.offered or claims.adds:
        return Reading(None, "several options are named")
    if claims.asserted:
        return Reading(None, "an option is named and denied")
    left = (claims.affirmed | claims.listed) - claims.denied
    # A letter alone in prose may mean something else: it counts where other options are denied.
    if (
        not claims.disowned
        and len(left) == 1
        and left <= claims.affirmed
        and not REFUSAL.search(text)
        and (claims.denied or left <= mentioned_by_text(text, options))
    ):
        return Reading(LETTERS[next(iter(left))], "the only option left")
    if claims.denied:
        return Reading(None, "options are only denied", settled=False)
    if claims.listed:
        return Reading(None, "options are only listed", settled=False)
    return Reading(None, "no option is named", settled=False)


def _with_text(text: str, options: tuple[str, ...]) -> list[int]:
    """Return indices of the options of exactly this text, signs included."""
    bare = _without_quotes(text)
    return [index for index, option in enumerate(options) if bare and _folded(option) == bare]


def _with_words(said: tuple[str, ...], options: Sequence[str]) -> list[int]:
    """Return indices of the options of exactly these words."""
    return [index for index, option in enumerate(options) if said and gold_words(option) == said]


@lru_cache(maxsize=65_536)
def _folded(option: str) -> str:
    return _without_quotes(fold(option))


def _without_quotes(text: str) -> str:
    """Return a text without the space, quotes and full stop around it; "> 5" becomes ">5"."""
    text = re.sub(r"([<>=≤≥±])\s+(?=\d)", r"\1", text.strip().strip("\"'“”`*").strip())
    # A full stop alone is a text of its own.
    return text if len(text) < 2 else text.rstrip(".。!").strip()
