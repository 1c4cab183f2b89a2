"""`strict`: our own protocol. What cannot be read is wrong and counted, never guessed.

Closed answers by clauses, choices by letter, text or clear claim, everything else by its words.
The score of an open answer is its exact match; shares of words stand in their own columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from evaluation.scoring.choice import LETTERS, read_choice, right_options
from evaluation.scoring.closed import ANSWERS, polarity, read_yes_no
from evaluation.scoring.open import declines
from evaluation.scoring.scored import PARSED, UNPARSED, Item, Reading, Scored, explain, verdict
from evaluation.scoring.spans import Span, spans
from evaluation.scoring.text_overlap import Overlap, best_overlap, gold_words, words

EMPTY = Span("", "", "whole reply")
NO_TEXT = Reading(None, "no text outside reasoning")


def score(item: Item, reply: str) -> Scored:
    """Score one reply.

    Raises InputError where a gold answer is none of the item's options.
    """
    found = spans(reply)
    if item.answer_type == "open":
        return _open(found, item)
    pole = polarity(item.gold) if item.answer_type == "closed" else None
    if pole is not None:
        reading, span = _read(found, lambda one: _closed(one, item.options))
        right = reading.answer == ANSWERS[pole]
    elif item.options or item.answer_type == "choice":
        places = right_options(item.gold, item.options)
        reading, span = _read(found, lambda one: read_choice(one, item.options))
        right = reading.answer is not None and LETTERS.index(reading.answer) in places
    else:
        # A closed question that offers two things in its own words: "left or right?"
        reading, span = _read(_uncorrected(found), _by_words)
        right = reading.answer is not None and words(span.text) == gold_words(item.gold)
    return verdict(reading.answer, right, None, _explain(reading, span))


def _read(found: Iterable[Span], read: Callable[[Span], Reading]) -> tuple[Reading, Span]:
    """The first settled reading; else the one of the last span, which is the whole reply."""
    reading, span = NO_TEXT, EMPTY
    for span in found:
        reading = read(span)
        if reading.settled:
            break
    return reading, span


def _closed(span: Span, options: tuple[str, ...]) -> Reading:
    reading = read_yes_no(span.text)
    if reading.settled or not options:
        return reading
    chosen = read_choice(span, options)
    if chosen.answer is None:
        return reading
    pole = polarity(options[LETTERS.index(chosen.answer)])
    return Reading(None if pole is None else ANSWERS[pole], chosen.rule)


def _by_words(span: Span) -> Reading:
    said = words(span.text)
    explicit = span.where in ("box", "tag", "json")
    return Reading(" ".join(said) or None, "words", settled=bool(said) or explicit)


def _uncorrected(found: Iterable[Span]) -> Iterator[Span]:
    """Spans without what follows "wait" and the like: free words always read as an answer."""
    return (span for span in found if span.where != "correction")


def _open(found: Iterable[Span], item: Item) -> Scored:
    reading, span = _read(_uncorrected(found), _by_words)
    shares = best_overlap(span.text, (item.gold, *item.alternatives))
    if not shares.exact and declines(span.text):
        reading = Reading(None, "declined")
        shares = Overlap(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    status = UNPARSED if reading.answer is None else PARSED
    explanation = _explain(reading, span)
    return Scored(reading.answer, status, shares.exact, None, *shares, explanation=explanation)


def _explain(reading: Reading, span: Span) -> str:
    return explain(reading.rule, span.text, span.where)
