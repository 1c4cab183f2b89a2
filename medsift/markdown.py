"""Write values of a data set in Markdown, so that they are not read as marks, links or tags."""

from __future__ import annotations

import re
from typing import Final

# An underscore between letters is none of emphasis, and names are full of them.
MARKS: Final = re.compile(r"[\\`*\[\]~$|]|(?<![^\W_])_|_(?![^\W_])")
UNSEEN: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff]")


def plain(text: str) -> str:
    """Return text that Markdown shows unchanged, on one line; also in a cell of a table."""
    shown = UNSEEN.sub("", " ".join(text.split()))
    marked = MARKS.sub(lambda sign: f"\\{sign.group()}", shown)
    return re.sub(r"[&<>]", lambda sign: _ENTITIES[sign.group()], marked)


def code(text: str) -> str:
    """Return text as a code span on one line, within more backticks than it contains itself."""
    shown = UNSEEN.sub("", " ".join(text.split()))
    if "|" in shown or not shown:
        # A bar would end a table's cell even inside of a span.
        return plain(shown)
    fence = "`" * (max(map(len, re.findall("`+", shown)), default=0) + 1)
    gap = " " if shown.startswith("`") or shown.endswith("`") else ""
    return f"{fence}{gap}{shown}{gap}{fence}"


_ENTITIES: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
