"""Judge by its tokenizer which texts a text tower can read."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from curation.encoders.function_words import looks_foreign
from curation.encoders.scripts import ACCENTED, script_of, scripts_read
from medsift.arrays import Flags

Tokens = Callable[[Sequence[str]], Sequence[Sequence[int]]]

READING_VERSION: Final = 2
"""Part of the identity of text vectors: raised when a judgement or a vector may change."""
GREEK: Final = "greek"
_MEANING: Final = re.compile(r"[-−]?\d+(?:[.,/:-]\d+)*%?")


@dataclass(frozen=True, slots=True)
class TextReader:
    """Judge texts for one text tower, without loading the tower.

    `scripts` are those that the vocabulary has words of, `alphabet` every character in its pieces.
    `tokens` gives the ids of each text, special ones included, uncut; `unknown` is the id for what
    the vocabulary lacks, or None; `limit` is the number of ids that the tower takes at once.
    `clean` is the tokenizer's own cleaning of a text. `marks` are the tower's own tokens, such as
    the end of a text, which a text must not spell.
    """

    scripts: frozenset[str]
    alphabet: frozenset[str]
    tokens: Tokens
    unknown: int | None
    limit: int
    clean: Callable[[str], str]
    marks: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls,
        pieces: Iterable[str],
        tokens: Tokens,
        unknown: int | None,
        limit: int,
        clean: Callable[[str], str] = str,
        marks: Iterable[str] = (),
    ) -> TextReader:
        """Return the reader of a vocabulary.

        Args:
            pieces: The vocabulary as plain text pieces, without special tokens.
            tokens: Returns the ids of each text, special ones included, uncut.
            unknown: Id for what the vocabulary lacks; None where there is no such id.
            limit: Number of ids that the tower takes at once.
            clean: The tokenizer's own cleaning of a text; by default a text stays as it is.
            marks: The tower's own tokens, which a text must not spell; none by default.
        """
        known = list(pieces)
        alphabet = frozenset(character for piece in known for character in piece)
        scripts = scripts_read(known)
        return cls(scripts, alphabet, tokens, unknown, limit, clean, frozenset(marks))

    def reads(self, texts: Sequence[str]) -> Flags:
        """Return whether a vector of each text (n,) would represent all that it says.

        It would not where the text
        - has a letter, vowel sign or digit of a script that the vocabulary has no words of (a
          Greek letter standing alone is a sign in any script);
        - has a character that the vocabulary lacks, so that it becomes an unknown token or bytes;
        - loses a sign or a number's point on the way into the tokenizer;
        - is in another language of Latin letters than English, by its function words, where the
          vocabulary has no words with accents;
        - spells one of the tower's own tokens, behind which some towers read nothing; or
        - is nothing but white space.

        One such word is enough: it may be the one that decides.
        """
        legible = np.array([self._legible(text) for text in texts], dtype=bool)
        if self.unknown is not None and legible.any():
            places = np.flatnonzero(legible)
            ids = self.tokens([texts[place] for place in places.tolist()])
            legible[places] = [self.unknown not in text_ids for text_ids in ids]
        return legible

    def _legible(self, text: str) -> bool:
        if not text.strip():
            return False
        if ACCENTED not in self.scripts and looks_foreign(text):
            return False
        cleaned = self.clean(text)
        if any(mark in text or mark in cleaned for mark in self.marks):
            return False
        if cleaned != text and _meaning(cleaned) != _meaning(text):
            return False
        return all(map(self._knows, set(cleaned))) and self._words_are_known(cleaned)

    def _knows(self, character: str) -> bool:
        """Return whether a character has a piece; white space needs none, ASCII always has one."""
        if character.isascii() or character.isspace():
            return True
        return character in self.alphabet or character.lower() in self.alphabet

    def _words_are_known(self, text: str) -> bool:
        if text.isascii():
            return True
        composed = unicodedata.normalize("NFC", text)
        for place, character in enumerate(composed):
            script = script_of(character)
            if script is None or script in self.scripts:
                continue
            around = composed[max(place - 1, 0) : place] + composed[place + 1 : place + 2]
            if script != GREEK or any(script_of(other) == GREEK for other in around):
                return False
        return True


def _meaning(text: str) -> Counter[str]:
    """Count the numbers and symbols of a text."""
    plain = unicodedata.normalize("NFKC", text)
    signs = (sign for sign in plain if unicodedata.category(sign)[0] == "S" or sign in "%&/")
    return Counter(_MEANING.findall(plain)) + Counter(signs)
