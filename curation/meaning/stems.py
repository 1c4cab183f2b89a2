"""Stem English words: one stem for singular and plural, and for two spellings."""

from __future__ import annotations

import re
from typing import Final

_BRITISH: Final = (
    (re.compile("ae|oe"), "e"),
    (re.compile("our$"), "or"),
    (re.compile("tre$"), "ter"),
)
_PLURALS: Final = (
    (re.compile(r"(?<=[^\W\d_]{2})ies$"), "y"),
    (re.compile(r"(?<=ss|sh|ch|[^\W\d_]x)es$"), ""),
    (re.compile(r"(?<=[^\W\d_]{3})(?<!s)(?<!u)(?<!i)s$"), ""),
)
LEAST: Final = 4


def stem(word: str) -> str:
    """Return the stem of an English word: fractures → fracture, masses → mass, tumour → tumor.

    Endings of the verb stay: what is obstructed is not what is obstructing, nor the obstruction,
    and hardly is not hard. A word of few letters stays whole.
    """
    if not word.isalpha() or len(word) <= LEAST:
        return word
    for pattern, american in _BRITISH:
        word = pattern.sub(american, word)
    for pattern, singular in _PLURALS:
        word, count = pattern.subn(singular, word)
        if count:
            break
    return word
