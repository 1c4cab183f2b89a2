"""Read the one answer of a reply, by the kind of question, and compare it with the right one.

The most explicit part of the reply that settles the matter is read; nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from medsift.replies.choice import LETTERS, read_choice, right_options
from medsift.replies.closed import ANSWERS, polarity, read_yes_no
from medsift.replies.reading import Reading
from medsift.replies.spans import Span, spans
from medsift.replies.text_overlap import gold_words, words

EMPTY: Final = Span("", "", "whole reply")
NO_TEXT: Final = Reading(None, "no text outside reasoning")


class Answer(NamedTuple):
    """What was read and in which part of the reply; `right` is False where nothing was read."""

    reading: Reading
    span: Span
    right: bool


def read_closed(reply: str, pole: bool, options: tuple[str, ...] = ()) -> Answer:
    """Read yes or no, also as the letter of an option, and compare it with the right pole."""
    reading, span = _read(spans(reply), lambda span: _yes_no(span, options))
    return Answer(reading, span, reading.answer == ANSWERS[pole])


def read_option(reply: str, gold: str, options: tuple[str, ...]) -> Answer:
    """Read the letter of the option that a reply names, and compare it with the right one.

    Raises InputError where the gold answer is none of the options.
    """
    right = right_options(gold, options)
    reading, span = _read(spans(reply), lambda span: read_choice(span, options))
    return Answer(
        reading, span, reading.answer is not None and LETTERS.index(reading.answer) in right
    )


def read_open(reply: str, gold: str) -> Answer:
    """Read the words of an open answer; right where they are exactly those of the gold answer."""
    reading, span = _read(_without_corrections(reply), _read_words)
    return Answer(
        reading, span, reading.answer is not None and words(span.text) == gold_words(gold)
    )


def _read(candidates: Iterable[Span], read: Callable[[Span], Reading]) -> tuple[Reading, Span]:
    """Return the first settled reading; else the one of the last span, the whole reply."""
    reading, span = NO_TEXT, EMPTY
    for span in candidates:
        reading = read(span)
        if reading.settled:
            break
    return reading, span


def _yes_no(span: Span, options: tuple[str, ...]) -> Reading:
    reading = read_yes_no(span.text)
    if reading.settled or not options:
        return reading
    chosen = read_choice(span, options)
    if chosen.answer is None:
        return reading
    pole = polarity(options[LETTERS.index(chosen.answer)])
    return Reading(None if pole is None else ANSWERS[pole], chosen.rule)


def _read_words(span: Span) -> Reading:
    said = words(span.text)
    # An empty box is an answer that says nothing; an empty phrase lets a less explicit span speak.
    explicit = span.where in ("box", "tag", "json")
    return Reading(" ".join(said) or None, "words", settled=bool(said) or explicit)


def _without_corrections(reply: str) -> Iterator[Span]:
    """Leave out what follows "wait" and the like: free words always read as an answer."""
    return (span for span in spans(reply) if span.where != "correction")
