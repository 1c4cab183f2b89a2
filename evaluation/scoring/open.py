"""Open replies that decline to answer."""

from __future__ import annotations

import re
from typing import Final

DECLINES: Final = re.compile(
    r"\W*(?:(?:i'm|i\sam|we're)\s(?:really\s|so\s|very\s)?sorry|sorry|my\sapologies|i\sapologi[sz]e"
    r"|unfortunately)?[\s,.]*(?:but\s|however\s|that\s)?[\s,]*"
    r"(?:(?:i|we|it)\s(?:really\s|still\s)?(?:can\s?not|can't|could\snot|couldn't|am\s(?:unable|not\sable)\sto"
    r"|'m\s(?:unable|not\sable)\sto|do\snot|don't|is\s(?:not\spossible|impossible)\sto)\s(?:\w+\s){0,2}"
    r"(?:determine|tell|say|answer|help|assist|provide|know|see|view|identify|assess|interpret|decide"
    r"|diagnose|judge|confirm)"
    r"|(?:unable|impossible|not\spossible)\sto\s(?:determine|tell|say|answer|assess|identify)"
    r"|i\sam\snot\ssure|i'm\snot\ssure"
    r"|(?:我)?(?:无法|不能|没法|难以)\S{0,6}(?:判断|判定|确定|确认|回答|识别|诊断|提供|评估|看出|得出)|抱歉|对不起|不知道|我不确定)"
)


def declines(text: str) -> bool:
    """Whether a folded reply begins by declining to answer."""
    return DECLINES.match(text[:300]) is not None
