"""Find identifiers in one text, and mask them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from curation.privacy.dates import find_ages, find_dates
from curation.privacy.names import find_names
from curation.privacy.numbers import find_numbers

MASKS: Final = {"case_link": "[case link]", "email": "[e-mail]", "age": "90+"}
"""What masked identifiers become; other classes become their name in brackets."""
FIRST: Final = ("case_link", "url", "email", "number", "date", "phone", "address", "age", "name")
"""Classes in the order in which they win where two of equal start and length overlap."""
_GATE: Final = re.compile(r"[\d@^A-ZÀ-ÖØ-Þ]|[^\x00-\u02ff]|www\.|ninety|hundred")

_NUMERALS: Final = re.compile(
    r"[\d@〇一二三四五六七八九十元]|://|www\.|ninety|hundred", re.IGNORECASE
)
"""What every identifier but a name contains."""


_NARROW: Final = {wide: wide - 0xFEE0 for wide in range(0xFF01, 0xFF5F)} | {
    ord(wide): plain for wide, plain in zip("\u00a0\u3000\u2010\u2011\u2019", "  --'", strict=True)
}
"""Wide and typographic signs as the plain ones, each one character for one."""


class Identifier(NamedTuple):
    """An identifier in a text: its class, and where it starts and ends."""

    kind: str
    start: int
    end: int


def find_identifiers(text: str, known: Iterable[str] = ()) -> list[Identifier]:
    """Return the identifiers in a text, in order, none overlapping another.

    Args:
        text: The text.
        known: Names that are identifying here by themselves, such as those of a picture's header.

    Raises:
        ModelError: the packages of the extra `privacy` are not installed.
    """
    if _GATE.search(text) is None and not known:
        return []
    if not text.isascii():
        text = text.translate(_NARROW)
    found: list[Identifier] = []
    if _NUMERALS.search(text):
        found += [Identifier(*part) for part in find_numbers(text)]
        found += [Identifier("date", *span) for span in find_dates(text)]
        found += [Identifier("age", *span) for span in find_ages(text)]
    found += [Identifier("name", *span) for span in find_names(text)]
    for name in known:
        # As it was written, or all capitals: "Dr. Brown" does not make brown a name.
        written = "|".join(map(re.escape, {name, name.upper()}))
        edge = r"(?!\w)" if name.isascii() else ""  # other scripts write words without spaces
        pattern = rf"(?<!\w)(?:{written}){edge}" if edge else rf"(?:{written})"
        found += [Identifier("name", *match.span()) for match in re.finditer(pattern, text)]
    kept: list[Identifier] = []
    for one in sorted(found, key=lambda one: (one.start, -one.end, FIRST.index(one.kind))):
        if not kept or one.start >= kept[-1].end:
            kept.append(one)
        elif one.end > kept[-1].end:  # what overlaps leaves no rest of an identifier behind
            kept[-1] = kept[-1]._replace(end=one.end)
    return kept


def masked(text: str, found: Iterable[Identifier]) -> str:
    """Return a text with identifiers replaced: `[name]`, `[date]`, …; an age over 89 is `90+`."""
    parts, place = [], 0
    for one in found:
        parts += [text[place : one.start], MASKS.get(one.kind, f"[{one.kind}]")]
        place = one.end
    return "".join([*parts, text[place:]])
