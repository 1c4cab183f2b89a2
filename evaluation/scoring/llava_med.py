"""`llava-med`: the rules of LLaVA-Med v1 as its paper's tables were made (June 2023).

The headline of open answers is token recall. A closed reply that says yes or no without the gold
answer leaves the mean, so `score` is null; upstream corrected that on 2023-12-11. Column `contains`
holds what it counts since: 1 where the gold answer stands anywhere in the reply.

Not reproduced: its table of contractions ("isnt"), which acts on both sides alike, BLEU-2 and 3,
and accuracy over the training set's answers. It has no rule for multiple choice.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Final

from evaluation.scoring.scored import PARSED, UNPARSED, AnswerKey, Scored, explain, stands_apart
from medsift.replies.text_overlap import bleu_1

PUNCTUATION: Final = ';/[]"{}()=+\\_-><@`,?!'
COMMA_NUMBER: Final = re.compile(r"\d,\d")
PERIOD: Final = re.compile(r"\.(?!\d)")
# Only so many full stops go: upstream passes a flag where the count belongs.
PERIODS: Final = 32
NUMBERS: Final = {
    **{"none": "0", "zero": "0", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5"},
    **{"six": "6", "seven": "7", "eight": "8", "nine": "9", "ten": "10"},
}
ARTICLES: Final = frozenset({"a", "an", "the"})


def score(item: AnswerKey, reply: str) -> Scored:
    """Score one reply of an open or closed item."""
    said, gold = normalise(reply.lower()), normalise(item.gold.lower())
    closed = item.answer_type == "closed"
    scored = _score_closed(said, gold) if closed else _score_open(said, gold)
    rule = "yes and no as substrings" if closed else "words of the whole reply"
    return scored._replace(explanation=explain(rule, said, "whole reply"))


def normalise(text: str) -> str:
    """Return upstream's normal form: no punctuation, articles and full stops; numbers as digits.

    A mark goes without trace if it touches a blank anywhere in the text, else it becomes a blank.
    """
    bare, comma = text, COMMA_NUMBER.search(text) is not None
    for mark in PUNCTUATION:
        if mark in bare:
            joins = comma or f"{mark} " in text or f" {mark}" in text
            bare = bare.replace(mark, "" if joins else " ")
    tokens = PERIOD.sub("", bare, count=PERIODS).lower().split()
    numbered = (NUMBERS.get(token, token) for token in tokens)
    return " ".join(token for token in numbered if token not in ARTICLES)


def _score_closed(said: str, gold: str) -> Scored:
    yes, no, contains = "yes" in said, "no" in said, gold in said
    parsed = ("no", "yes")[yes] if yes != no else None
    status = UNPARSED if parsed is None else PARSED
    if not (yes or no):
        fault = None if gold in ("yes", "no") else "yes_no_only"
        return Scored(None, UNPARSED, 0.0, fault, contains=float(contains))
    if not contains:
        return Scored(parsed, status, None, "dropped", contains=0.0)
    fault = None if stands_apart(gold, said) else "substring"
    return Scored(parsed, status, 1.0, fault, contains=1.0)


def _score_open(said: str, gold: str) -> Scored:
    contains, bleu = float(gold in said), bleu_1(said.split(), gold.split())
    reply, asked = Counter(normalise(said).split()), Counter(gold.split())
    if not reply or not asked:
        status = PARSED if reply else UNPARSED
        return Scored(said or None, status, 0.0, None, 0.0, 0.0, 0.0, 0.0, bleu, None, contains)
    # Upstream counts shared words as often as the reply has them, not as often as both do.
    shared = sum(count for word, count in reply.items() if word in asked)
    missed = sum(count for word, count in asked.items() if word not in reply)
    precision, recall = shared / reply.total(), shared / (shared + missed)
    f1 = 2 * precision * recall / (precision + recall) if shared else 0.0
    matched = sum(word in reply for word in asked) / reply.total()
    fault = None if matched == float(said == gold) else "precision_as_exact_match"
    return Scored(said, PARSED, recall, fault, matched, precision, recall, f1, bleu, None, contains)
