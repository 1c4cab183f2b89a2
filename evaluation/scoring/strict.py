"""`strict`: our own protocol. What cannot be read is wrong and counted, never guessed.

Closed answers by word boundaries, choices by letter or exact text, everything else by its words.
The score of an open answer is its exact match; shares of words stand in their own columns.
"""

from __future__ import annotations

from evaluation.scoring.base import PARSED, UNPARSED, Item, Scored, verdict
from evaluation.scoring.choice import LETTERS, read_choice, right_options
from evaluation.scoring.closed import polarity, read_yes_no
from evaluation.scoring.spans import answer_span
from evaluation.scoring.words import gold_words, overlap, words


def score(item: Item, reply: str) -> Scored:
    """Score one reply.

    Raises InputError where a gold answer is none of the item's options.
    """
    span = answer_span(reply)
    if item.answer_type == "open":
        return _open(span, item.gold)
    pole = polarity(item.gold) if item.answer_type == "closed" else None
    if pole is not None:
        return _closed(span, pole, item.options)
    if item.options or item.answer_type == "choice":
        return _choice(span, item)
    # A closed question that offers two things in its own words: "left or right?"
    said = words(span)
    return verdict(" ".join(said) or None, bool(said) and said == gold_words(item.gold))


def _closed(span: str, gold: bool, options: tuple[str, ...]) -> Scored:
    said = read_yes_no(span)
    if said is None and options and (place := read_choice(span, options)) is not None:
        said = polarity(options[place])
    return verdict(None if said is None else ("no", "yes")[said], said is gold)


def _choice(span: str, item: Item) -> Scored:
    right = right_options(item.gold, item.options)
    place = read_choice(span, item.options)
    return verdict(None if place is None else LETTERS[place], place in right)


def _open(span: str, gold: str) -> Scored:
    said = words(span)
    shares = overlap(said, gold_words(gold))
    status = PARSED if said else UNPARSED
    return Scored(" ".join(said) or None, status, shares.exact, None, *shares)
