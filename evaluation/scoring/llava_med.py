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
from functools import lru_cache
from typing import Final

from evaluation.scoring.scored import PARSED, UNPARSED, AnswerKey, Scored, explain, stands_apart
from evaluation.scoring.text_overlap import bleu_1

PUNCTUATION: Final = ';/[]"{}()=+\\_-><@`,?!'
COMMA_NUMBER: Final = re.compile(r"\d,\d")
PERIOD: Final = re.compile(r"\.(?!\d)")
PERIODS: Final = 32
"""Only so many full stops go: upstream passes a flag where the count belongs."""
NUMBERS: Final = {
    **{"none": "0", "zero": "0", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5"},
    **{"six": "6", "seven": "7", "eight": "8", "nine": "9", "ten": "10"},
}
ARTICLES: Final = frozenset({"a", "an", "the"})


def score(item: AnswerKey, reply: str) -> Scored:
    """Score one reply of an open or closed item."""
    said, gold = normalise(reply.lower()), _gold(item.gold)
    closed = item.answer_type == "closed"
    scored = _closed(said, gold) if closed else _open(said, gold)
    rule = "yes and no as substrings" if closed else "words of the whole reply"
    return scored._replace(explanation=explain(rule, said, "whole reply"))


def normalise(text: str) -> str:
    """Upstream's normal form: punctuation, articles and full stops go, number words are digits.

    A mark goes without trace if it touches a blank anywhere in the text, else it becomes a blank.
    """
    found, comma = text, COMMA_NUMBER.search(text) is not None
    for mark in PUNCTUATION:
        if mark in found:
            joins = comma or f"{mark} " in text or f" {mark}" in text
            found = found.replace(mark, "" if joins else " ")
    tokens = PERIOD.sub("", found, count=PERIODS).lower().split()
    numbered = (NUMBERS.get(token, token) for token in tokens)
    return " ".join(token for token in numbered if token not in ARTICLES)


@lru_cache(maxsize=65_536)
def _gold(text: str) -> str:
    return normalise(text.lower())


def _closed(said: str, gold: str) -> Scored:
    yes, no, held = "yes" in said, "no" in said, gold in said
    parsed = ("no", "yes")[yes] if yes != no else None
    status = UNPARSED if parsed is None else PARSED
    if not (yes or no):
        fault = None if gold in ("yes", "no") else "yes_no_only"
        return Scored(None, UNPARSED, 0.0, fault, contains=float(held))
    if not held:
        return Scored(parsed, status, None, "dropped", contains=0.0)
    fault = None if stands_apart(gold, said) else "substring"
    return Scored(parsed, status, 1.0, fault, contains=1.0)


def _open(said: str, gold: str) -> Scored:
    """Token recall; shared words count as often as the reply has them."""
    held, bleu = float(gold in said), bleu_1(said.split(), gold.split())
    reply, asked = Counter(normalise(said).split()), Counter(gold.split())
    if not reply or not asked:
        status = PARSED if reply else UNPARSED
        return Scored(said or None, status, 0.0, None, 0.0, 0.0, 0.0, 0.0, bleu, None, held)
    shared = sum(count for word, count in reply.items() if word in asked)
    missed = sum(count for word, count in asked.items() if word not in reply)
    precision, recall = shared / reply.total(), shared / (shared + missed)
    f1 = 2 * precision * recall / (precision + recall) if shared else 0.0
    matched = sum(word in reply for word in asked) / reply.total()
    fault = None if matched == float(said == gold) else "precision_as_exact_match"
    return Scored(said, PARSED, recall, fault, matched, precision, recall, f1, bleu, None, held)
