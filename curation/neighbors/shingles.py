"""Cut texts into shingles, for comparing texts by what they share."""

from __future__ import annotations

import re
import unicodedata

# A decimal stays one word, and a sign or comparison is one: "1.5" is not "1 5", "<5" not ">5".
_WORD = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+|[<>=≤≥±%+°]|(?<!\w)[-−](?=\d)|\w")
# Scripts written without spaces: kana, Han, Thai, Lao, Khmer, Myanmar.
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")
_LETTER = re.compile(r"[^\W\d_]")


def canonical(text: str) -> str:
    """Return the text without what does not change its meaning: case, forms, spacing, commas."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(_WORD.findall(plain)) or plain.strip()


def shingles_of(canonical_text: str, size: int) -> frozenset[str]:
    """Return the runs of `size` words, or of `size` characters where words are no measure.

    Characters are taken where most letters belong to a script without spaces, and where there
    are fewer than `size` + 2 words, of which one changed word would leave no run whole.
    """
    words = canonical_text.split(" ")
    unspaced = 2 * len(_UNSPACED.findall(canonical_text)) > len(_LETTER.findall(canonical_text))
    if len(words) >= size + 2 and not unspaced:
        return frozenset(" ".join(words[i : i + size]) for i in range(len(words) - size + 1))
    runs = range(max(1, len(canonical_text) - size + 1))
    # The mark keeps runs of characters apart from runs of words.
    return frozenset("\0" + canonical_text[i : i + size] for i in runs)


def jaccard(left: frozenset[str], right: frozenset[str]) -> float:
    """Return shared shingles over all shingles (Jaccard 1901)."""
    shared = len(left & right)
    return shared / (len(left) + len(right) - shared)
