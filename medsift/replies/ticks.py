"""Read ticks and crosses next to options as verdicts on them."""

from __future__ import annotations

import re
from typing import Final

from medsift.replies.mentions import LED, MARK

YES: Final = "✅"
NO: Final = "❌"
BOX: Final = re.compile(
    r"[\[(]\s?([x✓✔✅])?\s?[\])](?=\s?[\ue000-\ue01f])|([✓✔☑√])|([✗✘×☒])(?!\s?\d)"
)
SIGN: Final = re.compile(f"[{YES}{NO}]")
BEFORE: Final = re.compile(rf"([{YES}{NO}])[\ufe0f\s]*({MARK}){LED}?")
BEHIND: Final = re.compile(rf"({MARK})({LED}?)(?=[^{YES}{NO}\n\ue000-\ue01f]{{0,60}}[{YES}{NO}])")


def mark_verdicts(marked: str) -> str:
    """Put each tick or cross behind its option, one option a line: "A: ❌".

    A task list's boxes count: "[x] B" is a tick and "[ ] A" a cross.
    """
    text = BOX.sub(_sign, marked)
    first, option = SIGN.search(text), re.search(MARK, text)
    if not first or not option:
        return marked
    # A reply has its signs on one side: before the options where the first sign is.
    if first.start() < option.start():
        return BEFORE.sub(rf"\n\2{LED} \1\n", text)
    return BEHIND.sub(rf"\n\1{LED} ", text)


def _sign(box: re.Match[str]) -> str:
    ticked = box[1] if box[0][0] in "[(" else box[2]
    return YES if ticked else NO
