"""Read golds, options, modalities and tasks as benchmarks write them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from medsift.options import LETTERS
from medsift.text import normalise_answer

YES_NO: Final = frozenset({"yes", "no"})
MODALITIES: Final = {
    "computed tomography": "ct",
    **dict.fromkeys(("mri", "magnetic resonance imaging"), "mr"),
    **dict.fromkeys(("x ray", "radiography"), "xray"),
    "ultrasound": "us",
}
"""Names other than the tag itself."""


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


def modality_tag(published: str | None) -> str | None:
    """Return a modality as the tags have it (ct, mr, xray, us), others as words joined by ``_``.

    Words in parentheses are left out: "CT(Computed Tomography)" is "ct".
    """
    plain = " ".join(_words(re.sub(r"\([^)]*\)?", " ", published or "")))
    return MODALITIES.get(plain, plain.replace(" ", "_")) or None


def tag(published: str | None) -> str | None:
    """Return a published name in lower case, its words joined by ``_``; None for none."""
    return "_".join(_words(published or "")) or None


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold().replace("_", " "))
