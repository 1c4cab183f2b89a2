"""`strict`: our own protocol. What cannot be read is wrong and counted, never guessed.

Closed answers are read by clauses, choices by letter, text or clear claim, everything else by its
words. The score of an open answer is its exact match; shares of words have columns of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from evaluation.scoring.choice import LETTERS, read_choice, right_options
from evaluation.scoring.closed import ANSWERS, polarity, read_yes_no
from evaluation.scoring.scored import AnswerKey, Reading, Scored, explain, verdict
from evaluation.scoring.spans import Span, spans
from evaluation.scoring.text_overlap import NOTHING, best_overlap, gold_words, words
from evaluation.scoring.unstated import declines

EMPTY = Span("", "", "whole reply")
NO_TEXT = Reading(None, "no text outside reasoning")


def score(item: AnswerKey, reply: str) -> Scored:
    """Score one reply. Raises InputError where a gold answer is none of the item's options."""
    pole = polarity(item.gold) if item.answer_type == "closed" else None
    if item.answer_type == "open":
        return _score_open(reply, item)
    if pole is not None:
        reading, span = _read(spans(reply), lambda span: _read_closed(span, item.options))
        right = reading.answer == ANSWERS[pole]
    elif item.options or item.answer_type == "choice":
        right_indices = right_options(item.gold, item.options)
        reading, span = _read(spans(reply), lambda span: read_choice(span, item.options))
        right = reading.answer is not None and LETTERS.index(reading.answer) in right_indices
    else:
        # A closed question that offers two things in its own words: "left or right?"
        reading, span = _read(_without_corrections(reply), _read_words)
        right = reading.answer is not None and words(span.text) == gold_words(item.gold)
    return verdict(reading.answer, right, None, explain(reading.rule, span.text, span.where))


def _read(candidates: Iterable[Span], read: Callable[[Span], Reading]) -> tuple[Reading, Span]:
    """Return the first settled reading; else the one of the last span, the whole reply."""
    reading, span = NO_TEXT, EMPTY
    for span in candidates:
        reading = read(span)
        if reading.settled:
            break
    return reading, span


def _read_closed(span: Span, options: tuple[str, ...]) -> Reading:
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


def _score_open(reply: str, item: AnswerKey) -> Scored:
    reading, span = _read(_without_corrections(reply), _read_words)
    shares = best_overlap(span.text, (item.gold, *item.alternatives))
    # "Unknown" may be the right answer, so a refusal is one only where it is not.
    if not shares.exact and declines(span.text):
        reading, shares = Reading(None, "declined"), NOTHING
    explanation = explain(reading.rule, span.text, span.where)
    read = verdict(reading.answer, bool(shares.exact))
    return Scored(*read[:4], *shares, explanation=explanation)
