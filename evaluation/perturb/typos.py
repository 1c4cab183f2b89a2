"""`typos`: slips of the keyboard in words that carry no clinical meaning of their own."""

from __future__ import annotations

import re
from typing import ClassVar, Final

import numpy as np

from evaluation.perturb.image_swaps import Donors
from evaluation.perturb.item import ItemRow
from evaluation.perturb.perturbation import Skip, Variant
from medsift.text import PROTECTED, protected_tokens

SHARE: Final = 4
"""One word in so many of those that may be misspelt is."""
KEPT: Final = 2
"""Letters at the beginning of a word that no slip touches; the last one stays too."""
TRIES: Final = 8
WORD: Final = re.compile(r"(?<![\w'’-])[A-Za-z]{5,}(?![\w'’-])")
MEANINGFUL: Final = re.compile(
    r"(hyper|hypo|inter|intra|supra|infra|sub|pre|post|anti|non|un|in|im|dis|ab|ad|a(?=typ|sym))",
    re.IGNORECASE,
)
"""Prefixes that a slip could turn into another, or that negate."""


class Typos(Variant):
    """Two letters exchanged, one left out or one doubled, in a quarter of the plain words.

    Letters are never replaced, so that no term turns into another. Numbers, codes, capitals,
    sides, negation and all other protected words stay, and so do options and gold.
    """

    family: ClassVar[str] = "typos"

    def change(self, item: ItemRow, seed: int, donors: Donors) -> ItemRow | Skip:
        """The item with its question misspelt."""
        question = item["question"]
        # In no list of protected words, and no abbreviation.
        spans = [
            word.span()
            for word in WORD.finditer(question)
            if word[0][1:].islower()
            and not MEANINGFUL.match(word[0])
            and word[0].casefold() not in PROTECTED
        ]
        if not spans:
            return Skip("no word that may be misspelt")
        random = self.random(item, seed)
        chosen = random.permutation(len(spans))[: -(-len(spans) // SHARE)]
        for place in sorted(chosen.tolist(), reverse=True):
            start, stop = spans[place]
            for _ in range(TRIES):
                slip = _slip(question[start:stop], random)
                tried = question[:start] + slip + question[stop:]
                if protected_tokens(tried) == protected_tokens(question):
                    question = tried
                    break
        if question == item["question"]:
            return Skip("every slip tried made a protected word")
        return {**item, "question": question}


def _slip(word: str, random: np.random.Generator) -> str:
    """A word of five or more letters with one slip; always another word."""
    places = range(KEPT, len(word) - 1)
    swaps = [at for at in places if at + 1 < len(word) - 1 and word[at] != word[at + 1]]
    kind = int(random.integers(3 if swaps else 2))
    at = int(random.choice(swaps if kind == 2 else list(places)))
    if kind == 0:
        return word[:at] + word[at + 1 :]
    if kind == 1:
        return word[:at] + word[at] + word[at:]
    return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
