"""Sentences that state what would hold under a condition, and so answer nothing.

"If there is fever, pneumonia; otherwise an effusion" names no answer. "If I had to choose, B" does:
its condition is the choosing itself.
"""

from __future__ import annotations

import re
from typing import Final

_CHOOSING: Final = (
    r"(?![^.;!?,。\n]{0,80}(?:choos|chose|pick|select|guess|forced|pressed|only\sone|ha(?:ve|d)\sto"
    r"|must|asked|you\s(?:mean|ask)|选))"
)
# A conclusion ends the hypothesis: "if it were B there would be air, so A".
_REACH: Final = r"(?:(?!(?<![a-z])(?:so|therefore|thus|hence)(?![a-z])|所以|因此)[^.;!?。\n])*"
HYPOTHESIS: Final = re.compile(
    r"(?:\A|(?<=[.;!?。\n]))\s{0,9}(?:(?:and|but|then)\s)?"
    rf"(?:(?:if|unless|suppos(?:e|ing)|assuming)(?![a-z]){_CHOOSING}|(?:were|had)\s(?:there|it)\s"
    rf"|otherwise(?![a-z])|(?:如果|假如|若是?|倘若|否则){_CHOOSING}){_REACH}"
)
SENTENCE: Final = re.compile(r"[.;!?。\n]")
REACH: Final = 200
"""Characters before a place in which the beginning of its sentence is sought."""


def without_hypotheses(text: str) -> str:
    """Return a folded text with its conditional sentences taken out."""
    return HYPOTHESIS.sub("\n", text)


def is_hypothetical(text: str, place: int) -> bool:
    """Whether a place of a folded text stands within a conditional sentence."""
    start = max(0, place - REACH)
    ends = [end.end() for end in SENTENCE.finditer(text, start, place)]
    found = HYPOTHESIS.match(text[ends[-1] if ends else start : place])
    return found is not None and found.end() == place - (ends[-1] if ends else start)
