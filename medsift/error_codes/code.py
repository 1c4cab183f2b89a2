"""Say what an error code means and what to do about it."""

from __future__ import annotations

import re
from typing import NamedTuple


class ErrorCode(NamedTuple):
    """The documentation of one code: both are full sentences."""

    meaning: str
    remedy: str


def read_codes(text: str) -> dict[str, ErrorCode]:
    """Return the codes of a topic, each written as `code: meaning` and a line `  Do: remedy`.

    Longer sentences continue on lines that are indented further.
    """
    codes: dict[str, ErrorCode] = {}
    for entry in re.split(r"\n(?=\w)", text.strip()):
        code, meaning, remedy = re.split(r": |\n  Do: ", entry, maxsplit=2)
        if code in codes:
            raise ValueError(f"the error code {code} is documented twice")
        codes[code] = ErrorCode(" ".join(meaning.split()), " ".join(remedy.split()))
    return codes
