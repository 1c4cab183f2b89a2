"""Find the scripts that a text is written in, and those that a vocabulary has words of."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

LATIN: Final = "latin"
ACCENTED: Final = "latin with accents"
SIGNS: Final = "signs"
HAN: Final = "cjk"
LEAST_PIECES: Final = 256
LEAST_IDEOGRAPHS: Final = 2_000
# Letters that represent themselves in any text: units, ordinals, exponents, blackboard letters.
_SYMBOLIC: Final = frozenset(
    {"micro", "superscript", "subscript", "modifier", "feminine", "masculine", "double-struck"}
)


@lru_cache(maxsize=65_536)
def script_of(character: str) -> str | None:
    """Return the script of a letter, vowel sign or foreign digit; None for shared characters.

    A script is the first word of the Unicode name, in small letters: cjk, hiragana, thai. Latin
    letters beyond a to z are a script of their own, `ACCENTED`: English does without them.
    """
    if character.isascii():
        return LATIN if character.isalpha() else None
    category = unicodedata.category(character)
    if category[0] not in "LM" and category != "Nd":
        return None
    name = unicodedata.name(character, "unnamed").split(" ")[0].lower()
    if name in _SYMBOLIC or name == "variation":
        return None
    # An accent that composes with no letter still is one.
    return ACCENTED if name in ("latin", "combining") else name


def main_script(text: str) -> str:
    """Return the script that a reader would name: the commonest among letters that are not a-z.

    Latin where there are none, `SIGNS` where there is no letter at all.
    """
    counts = Counter(map(script_of, unicodedata.normalize("NFKC", text)))
    foreign = {name: n for name, n in counts.items() if name not in (None, LATIN)}
    if foreign:
        return str(max(sorted(map(str, foreign)), key=lambda name: foreign[name]))
    return LATIN if counts[LATIN] else SIGNS


def scripts_read(pieces: Iterable[str]) -> frozenset[str]:
    """Return the scripts of which a vocabulary, as plain text pieces, has words.

    A tokenizer learns its pieces from the texts that its model was trained on: of a script that it
    was trained on it has pieces of several letters by the thousand, of any other single letters
    alone. `LEAST_PIECES` pieces of two letters or more, or `LEAST_IDEOGRAPHS` single ideographs,
    make a script read. Measured: MiniLM and CLIP have 27,533 and 46,529 such pieces of Latin
    letters, and of any other script at most 10 and 66, those with accents.
    """
    words: Counter[str] = Counter()
    ideographs = 0
    for piece in pieces:
        letters = [script for script in map(script_of, piece) if script is not None]
        if len(letters) > 1:
            words.update(set(letters))
        elif letters == [HAN]:
            ideographs += 1
    read = {script for script, count in words.items() if count >= LEAST_PIECES}
    return frozenset(read | ({HAN} if ideographs >= LEAST_IDEOGRAPHS else set()))
