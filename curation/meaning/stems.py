"""English inflection: one stem for the forms of a word, and for its British and American form."""

from __future__ import annotations

import re
from typing import Final

_BRITISH: Final = (
    (re.compile("ae|oe"), "e"),
    (re.compile("our$"), "or"),
    (re.compile("tre$"), "ter"),
)
_PLURAL: Final = re.compile(r"(?<=[^\W\d_]{3})(?<!s)(?<!u)(?<!i)s$")
# Longest first; each leaves at least four letters.
_SUFFIXES: Final = ("ations", "ation", "ments", "ment", "ings", "ions", "ing", "ion", "ed", "ly")
LEAST: Final = 4


def stem(word: str) -> str:
    """The stem of an English word: fractured, fractures → fractur; thickening → thicken.

    Only endings of inflection and of the noun of an action go, so that words of two meanings keep
    two stems; prefixes always stay. A word of few letters stays whole.
    """
    if not word.isalpha() or len(word) <= LEAST:
        return word
    for pattern, american in _BRITISH:
        word = pattern.sub(american, word)
    word = _PLURAL.sub("", word)
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= LEAST:
            word = word.removesuffix(suffix)
            break
    if word.endswith("at") and len(word) > LEAST + 1:
        word = word.removesuffix("at")
    return word.removesuffix("e") if len(word) > LEAST else word
