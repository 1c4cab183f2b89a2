"""Yes or no, read by word boundaries, in English and Chinese."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from evaluation.scoring.spans import fold

HAN: Final = "[\u3400-\u9fff]"
_YES: Final = r"(?<![a-z0-9])yes(?![a-z0-9])"
# "No-contrast CT" denies nothing.
_NO: Final = r"(?<![a-z0-9])no(?!-?[a-z0-9])"
_JOINED: Final = r"\s{0,3}(?:/|\||or|and|,\s?or)\s{0,3}"
_ASKED: Final = "(?:是否|是不是|有没有|有无|能否|能不能|可否|会不会|对不对)"
_UNABLE: Final = "(?:无法|不能|难以|未能|没办法|没法)"
_JUDGE: Final = "(?:判断|判定|确定|确认|明确|辨别|识别|看出|看清|得出|回答|评估)"
_CLAUSE: Final = r"[^,。;!?\n]*"

# Questions echoed, both words offered at once, and refusals: none of them answers.
NO_ANSWER: Final = re.compile(
    rf"{_UNABLE}{HAN}{{0,6}}?{_JUDGE}{_CLAUSE}"
    rf"|不太?(?:确定|清楚|知道|明确){_CLAUSE}|(?:没有|无|缺乏)足够{_CLAUSE}"
    rf"|{_ASKED}[^,。;:!?\s]{{0,60}}\??"
    rf"|{_YES}{_JOINED}{_NO}|{_NO}{_JOINED}{_YES}"
)
FIRST: Final = re.compile(
    rf"\W*(?:(?P<no>{_NO}|否|不(?!详|明|一定)|没(?!法)|无(?![论法])|未(?!知))"
    rf"|(?P<yes>{_YES}|是|有(?!关|时)|存在|包含|包括|属于|肯定|(?:对|正确|可以|能|会)的?(?!{HAN})))"
)
# A negation is taken before the word it negates; a copula in mid-sentence says nothing.
ANYWHERE: Final = re.compile(
    rf"(?P<no>{_NO}|没有?(?!法)|不(?:是|对|正确|存在|包含|包括|属于|可以|能|会)|未(?:见|发现|显示)"
    r"|无(?![论法])|否(?!则))"
    rf"|(?P<yes>{_YES}|(?<![所只])有(?!关|时)|存在|可见|包含|包括|属于"
    rf"|(?<!{HAN})(?:是|对|正确|可以|能|会)的?(?!{HAN}))"
)
SAYS_YES: Final = re.compile("yes|(?:是|有|存在|对|正确|能|可以|会|包含|包括|属于)的?")
SAYS_NO: Final = re.compile(
    "no|(?:否|无|没有?(?!法)|不(?:是|存在|对|正确|能|可以|会|包含|包括|属于)?)的?"
)


def read_yes_no(span: str) -> bool | None:
    """What a folded answer span says: True yes, False no, None both or neither.

    A first word that is yes or no wins; otherwise one of the two must be there without the other.
    """
    text = NO_ANSWER.sub(" ", span)
    first = FIRST.match(text)
    if first:
        return first.lastgroup == "yes"
    found = {match.lastgroup for match in ANYWHERE.finditer(text)}
    return "yes" in found if len(found) == 1 else None


@lru_cache(maxsize=65_536)
def polarity(words: str) -> bool | None:
    """Whether a gold answer or option is yes (True), no (False) or something else (None)."""
    folded = fold(words).strip(" \t\n.。!,;")
    if SAYS_YES.fullmatch(folded):
        return True
    return False if SAYS_NO.fullmatch(folded) else None
