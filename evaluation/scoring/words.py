"""Words of an open answer and how far two answers share them.

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

from evaluation.scoring.spans import fold
from evaluation.scoring.spelling import respell

_HAN: Final = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_MARKS: Final = "[\u0300-\u036f\u0590-\u109f]"
THOUSANDS: Final = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
# "1,5 cm" is 1.5 cm; "1,2,3" is a list.
DECIMAL_COMMA: Final = re.compile(r"(?<![\d.,])(\d+),(\d{1,2})(?![\d,.]?\d)")
APOSTROPHE: Final = re.compile(r"(?<=\w)['\u2019](?=\w)")
DASHES: Final = re.compile("[\u2010-\u2015\u2212\ufe58\uff0d]")
RANGE: Final = re.compile(r"(?<=\d)\s?-\s?(?=\d)")
XRAY: Final = re.compile(r"(?<!\w)x-?(?=rays?(?!\w))")
INITIALS: Final = re.compile(r"(?<![\w.])(?:[a-z]\.){2,6}(?!\w)")
# "HER2 positive" and "Rh negative" are HER2+ and Rh-: a short name or a code, then its status.
STATUS: Final = re.compile(
    r"(?<![\w-])([a-z]{2,4}|[a-z]{1,6}\d{1,3}[a-z]?)(?:\s|-)(positive|negative)(?!\w)"
)
HYPHEN: Final = re.compile(r"(?<=[^\W\d_])-(?=[^\W\d_])")
# "5.6cm" is a number and a unit, "4th" one word; signs that change a finding stay: HER2+, -5, <3%,
# and so do those within numbers: 5-10 is not 5 10, nor is 1/2.
TOKEN: Final = re.compile(
    rf"[{_HAN}]|(?<!\w)-(?=\d)|(?<=\d)[-/\u2044](?=\d)|\d+(?:\.\d+)*(?:(?:st|nd|rd|th)(?!\w))?"
    rf"|(?:[^\W\d_{_HAN}]|{_MARKS})(?:[^\W_{_HAN}]|{_MARKS})*"
    r"|[+%<>=±≤≥°]|(?<=\w)-(?!\w)"
)
ARTICLES: Final = frozenset({"the", "an"})


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
    """`words` of a gold answer or option, remembered: the same ones come again and again."""
    return words(text)


def words(text: str) -> tuple[str, ...]:
    """Words of an answer: folded, without articles and punctuation; Chinese by character.

    "a" goes only where it leads, since hepatitis A is not hepatitis. Spellings of one word are one
    word: British and American, number words, Greek letters, "HER2+" and "HER2 positive".
    """
    return _tokens(_unified(text))


def _unified(text: str) -> str:
    folded = DASHES.sub("-", APOSTROPHE.sub("", fold(text)))
    folded = DECIMAL_COMMA.sub(r"\1.\2", THOUSANDS.sub("", folded))
    folded = XRAY.sub("x ", INITIALS.sub(_initials, RANGE.sub("-", folded)))
    return STATUS.sub(_status, folded)


def _initials(found: re.Match[str]) -> str:
    return found[0].replace(".", "")


def _status(found: re.Match[str]) -> str:
    return f"{found[1]}{'+' if found[2] == 'positive' else '-'}"


def _tokens(unified: str) -> tuple[str, ...]:
    found = tuple(respell(token) for token in TOKEN.findall(unified) if token not in ARTICLES)
    return found[1:] if len(found) > 1 and found[0] == "a" else found


def best_overlap(reply: str, golds: Sequence[str]) -> Overlap:
    """Compare a reply with the gold answer it is nearest to: exact first, then by token F1.

    A word with a hyphen is the same with it, without it, and as two words.
    """
    said = words(reply)
    found = [_hyphenated(reply, said, gold) for gold in golds]
    return max(found, key=lambda one: (one.exact, one.f1))


def _hyphenated(reply: str, said: tuple[str, ...], gold: str) -> Overlap:
    wanted = gold_words(gold)
    if said and said != wanted and len(reply) < 500:
        closed, meant = closed_up(reply), closed_up(gold)
        if closed in (meant, wanted) or said == meant:
            return SAME
    return overlap(said, wanted)


def closed_up(text: str) -> tuple[str, ...]:
    """`words` with hyphens between letters taken away: "non-small" is one word."""
    return _tokens(HYPHEN.sub("", _unified(text)))


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
    common = _longest_common(reply, gold)
    return Overlap(
        exact=0.0,
        precision=precision,
        recall=recall,
        f1=2 * shared / (len(reply) + len(gold)),
        bleu_1=precision * _brevity(reply, gold),
        rouge_l=2 * common / (len(reply) + len(gold)),
    )


def bleu_1(reply: Sequence[str], gold: Sequence[str]) -> float:
    """Clipped unigram precision times brevity penalty, 0 for an empty reply."""
    return _shared(reply, gold) / len(reply) * _brevity(reply, gold) if reply else 0.0


def _shared(reply: Sequence[str], gold: Sequence[str]) -> int:
    return sum((Counter(reply) & Counter(gold)).values())


def _brevity(reply: Sequence[str], gold: Sequence[str]) -> float:
    return math.exp(min(0.0, 1 - len(gold) / len(reply)))


def _longest_common(reply: Sequence[str], gold: Sequence[str]) -> int:
    """Length of the longest common subsequence, over numbers so that no two words collide."""
    numbers: dict[str, int] = {}
    for word in gold:
        numbers.setdefault(word, len(numbers))
    # Words the gold answer lacks are in no common subsequence.
    known = [numbers[word] for word in reply if word in numbers]
    return int(LCSseq.similarity(known, [numbers[word] for word in gold]))
