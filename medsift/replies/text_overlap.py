"""Compare the words of two open answers.

Token precision, recall and F1 count words as a multiset (Rajpurkar et al. 2016, SQuAD); BLEU-1 is
the clipped unigram precision times the brevity penalty (Papineni et al. 2002, eq. 1-3, one
reference, no smoothing); ROUGE-L is the F1 of the longest common subsequence (Lin 2004, eq. 2-4,
beta 1).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from rapidfuzz.distance import LCSseq

from medsift.normal_form import MINUS, answer_words
from medsift.replies.spelling import spellings

_HAN: Final = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
# Chinese is compared by character, and what a comma joins may be a list: 1,2 shares 1 with 1.
PART: Final = re.compile(rf"[{_HAN}]|[^{_HAN},]+")
ARTICLES: Final = frozenset({"the", "an"})
MARKUP: Final = frozenset("~|$^&@")
"""Signs that Markdown and LaTeX put around an answer; `plain` removes some of them from replies."""


class Overlap(NamedTuple):
    """How far a reply's words are those of the gold answer; every share from 0 to 1."""

    exact: float
    precision: float
    recall: float
    f1: float
    bleu_1: float
    rouge_l: float


SAME: Final = Overlap(1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
NOTHING: Final = Overlap(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


@lru_cache(maxsize=65_536)
def gold_words(text: str) -> tuple[str, ...]:
    """Return `words` of a gold answer or option, cached: the same ones come again and again."""
    return words(text)


def words(text: str) -> tuple[str, ...]:
    """Return an answer's words in the normal form of duplicates, without articles.

    Chinese by character; markup is left out. "a" goes only where it leads, since hepatitis A is
    not hepatitis.
    """
    plain = (word.replace(MINUS, "-") for word in answer_words(text))
    parts = (part for word in plain for part in PART.findall(word))
    kept = tuple(part for part in parts if part not in ARTICLES and part not in MARKUP)
    return kept[1:] if len(kept) > 1 and kept[0] == "a" else kept


def best_overlap(reply: str, golds: Sequence[str]) -> Overlap:
    """Compare a reply with the gold answer it is nearest to: exact first, then by token F1.

    Words that differ in spelling alone are the same (`spelling`).
    """
    said = words(reply)
    overlaps = []
    for gold in golds:
        wanted = gold_words(gold)
        # A much longer answer is another one, however it is spelled: that saves the spellings.
        if said and said != wanted and len(said) <= 3 * len(wanted) + 3:
            meant = {words(form) for form in spellings(gold)}
            if any(words(form) in meant for form in spellings(reply)):
                return SAME
        overlaps.append(overlap(said, wanted))
    return max(overlaps, key=lambda shares: (shares.exact, shares.f1))


def overlap(reply: Sequence[str], gold: Sequence[str]) -> Overlap:
    """Compare the words of a reply with those of the gold answer."""
    if not reply or not gold:
        return NOTHING
    if reply == gold:
        return SAME
    shared = _shared(reply, gold)
    if not shared:
        return NOTHING
    precision, recall = shared / len(reply), shared / len(gold)
    # Words as numbers, so that no two collide; those the gold answer lacks are in no common
    # subsequence.
    numbers = {word: number for number, word in enumerate(dict.fromkeys(gold))}
    known = [numbers[word] for word in reply if word in numbers]
    common = int(LCSseq.similarity(known, [numbers[word] for word in gold]))
    f1, rouge_l = (2 * count / (len(reply) + len(gold)) for count in (shared, common))
    return Overlap(0.0, precision, recall, f1, precision * _brevity(reply, gold), rouge_l)


def bleu_1(reply: Sequence[str], gold: Sequence[str]) -> float:
    """Return clipped unigram precision times brevity penalty, 0 for an empty reply."""
    return _shared(reply, gold) / len(reply) * _brevity(reply, gold) if reply else 0.0


def _shared(reply: Sequence[str], gold: Sequence[str]) -> int:
    return sum((Counter(reply) & Counter(gold)).values())


def _brevity(reply: Sequence[str], gold: Sequence[str]) -> float:
    return math.exp(min(0.0, 1 - len(gold) / len(reply)))
