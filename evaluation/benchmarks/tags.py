"""Translate published names of modalities and tasks into the vocabulary of the tags."""

from __future__ import annotations

import re
from typing import Final

MODALITIES: Final = {
    "computed tomography": "ct",
    **dict.fromkeys(("mri", "magnetic resonance imaging"), "mr"),
    **dict.fromkeys(("x ray", "radiography"), "xray"),
    "ultrasound": "us",
}
"""Names other than the tag itself."""


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
