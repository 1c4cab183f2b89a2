"""Find what a reply declines to say, takes back or only supposes, and so does not state.

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
# Characters before a place in which the beginning of its sentence is sought: without a bound,
# a reply of one long sentence would be searched again for each of its phrases.
LOOKED_BACK: Final = 200
DECLINES: Final = re.compile(
    r"\W*(?:(?:i'm|i\sam|we're)\s(?:really\s|so\s|very\s)?sorry|sorry|my\sapologies|i\sapologi[sz]e"
    r"|unfortunately)?[\s,.]*(?:but\s|however\s|that\s)?[\s,]*"
    r"(?:(?:i|we|it)(?:\s|(?='))(?:really\s|still\s)?(?:can\s?not|can't|could\snot|couldn't"
    r"|(?:am|'m|are|'re)\s(?:unable|not\sable)\sto|do\snot|don't|is\s(?:not\spossible|impossible)\sto)\s(?:\w+\s){0,2}"
    r"(?:determine|tell|say|answer|help|assist|provide|know|see|view|identify|assess|interpret|decide"
    r"|diagnose|judge|confirm)"
    r"|(?:unable|impossible|not\spossible)\sto\s(?:determine|tell|say|answer|assess|identify)"
    r"|(?:unknown|unclear|unsure|uncertain|indeterminate|undetermined|not\s(?:known|sure|certain))\W*\Z"
    r"|(?:我)?(?:看不清楚?|看不出|不清楚|不确定|未知|不详)\W*\Z|i\sam\snot\ssure|i'm\snot\ssure"
    r"|(?:我)?(?:无法|不能|没法|难以)\S{0,6}(?:判断|判定|确定|确认|回答|识别|诊断|提供|评估|看出|得出)|抱歉|对不起|不知道|我不确定)"
)
_FIRST: Final = (
    r"(?:(?:sorry|actually|but|however|no|hmm|wait|well|unfortunately|i'm\ssorry)\W{1,3}){0,3}"
)
# A sentence at the end that takes the answer back: "B. Sorry, I can't tell."
WITHDRAWS: Final = re.compile(
    rf"[.!?。\n]\s{{0,9}}{_FIRST}(?:i|we)\s(?:really\s|honestly\s)?(?:(?:can't|can\s?not|am\s(?:unable|not\sable)"
    r"\sto)\s(?:really\s|actually\s)?(?:tell|say|determine|decide|judge|know|answer|be\ssure)"
    r"|(?:don't|do\snot)\s(?:actually\s|really\s)?know)"
    r"(?:\s(?:it|this|that|which|for\ssure|either\sway|(?:from|in)\s(?:this|the)\s(?:image|picture|scan)))?"
    r"\W*\Z|[。!?\n,;]\s{0,9}(?:抱歉|对不起|其实|但是?|不过|不,)?[,\s]{0,3}(?:其实)?我?(?:也|还是)?(?:真的)?"
    r"(?:无法|不能|没法)(?:判断|确定|回答|看出)\W*\Z"
)


def without_hypotheses(text: str) -> str:
    """Return a folded text without its conditional sentences."""
    return HYPOTHESIS.sub("\n", text)


def is_hypothetical(text: str, place: int) -> bool:
    """Return whether a place of a folded text is within a conditional sentence."""
    start = max(0, place - LOOKED_BACK)
    start = max((end.end() for end in SENTENCE.finditer(text, start, place)), default=start)
    condition = HYPOTHESIS.match(text[start:place])
    return condition is not None and condition.end() == place - start


def withdraws(text: str) -> bool:
    """Return whether a folded reply ends by declining what it has answered."""
    return WITHDRAWS.search(text[-200:]) is not None


def declines(text: str) -> bool:
    """Return whether a folded reply begins by declining to answer."""
    return DECLINES.match(text[:300]) is not None
