"""Read options and gold letters as benchmarks write them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from medsift.options import LETTERS
from medsift.text import normalise_answer

YES_NO: Final = frozenset({"yes", "no"})


def gold_letter(gold: str, options: Sequence[str]) -> str | None:
    """Return the letter of the right option, given as a letter or in words; None if it is none."""
    given = gold.strip()
    if len(given) == 1 and given.upper() in LETTERS[: len(options)]:
        return given.upper()
    wanted = normalise_answer(given)
    places = [at for at, option in enumerate(options) if normalise_answer(option) == wanted]
    return LETTERS[places[0]] if places else None


def closed_or_open(gold: str) -> str:
    """Return `closed` where the gold is yes or no, else `open`; for benchmarks that do not say."""
    return "closed" if normalise_answer(gold) in YES_NO else "open"
