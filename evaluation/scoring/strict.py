"""`strict`: our own protocol. What cannot be read is wrong and counted, never guessed.

Closed answers are read by clauses, choices by letter, text or clear claim, everything else by its
words. The score of an open answer is its exact match; shares of words have columns of their own.
"""

from __future__ import annotations

from evaluation.scoring.scored import AnswerKey, Scored, explain, verdict
from medsift.replies.answers import read_closed, read_open, read_option
from medsift.replies.closed import polarity
from medsift.replies.reading import Reading
from medsift.replies.text_overlap import NOTHING, best_overlap
from medsift.replies.unstated import declines


def score(item: AnswerKey, reply: str) -> Scored:
    """Score one reply. Raises InputError where a gold answer is none of the item's options."""
    pole = polarity(item.gold) if item.answer_type == "closed" else None
    if item.answer_type == "open":
        return _score_open(reply, item)
    if pole is not None:
        reading, span, right = read_closed(reply, pole, item.options)
    elif item.options or item.answer_type == "choice":
        reading, span, right = read_option(reply, item.gold, item.options)
    else:
        # A closed question that offers two things in its own words: "left or right?"
        reading, span, right = read_open(reply, item.gold)
    return verdict(reading.answer, right, None, explain(reading.rule, span.text, span.where))


def _score_open(reply: str, item: AnswerKey) -> Scored:
    reading, span, _ = read_open(reply, item.gold)
    shares = best_overlap(span.text, (item.gold, *item.alternatives))
    # "Unknown" may be the right answer, so a refusal is one only where it is not.
    if not shares.exact and declines(span.text):
        reading, shares = Reading(None, "declined"), NOTHING
    explanation = explain(reading.rule, span.text, span.where)
    read = verdict(reading.answer, bool(shares.exact))
    return Scored(*read[:4], *shares, explanation=explanation)
