"""Say what a line of text in a picture is: a name, a date, a side marker or a scale."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Final

from curation.privacy.name_lists import folded, name_lists
from curation.privacy.quick_look import LOOKS_LIKE_A_DATE, LOOKS_LIKE_A_NAME, is_identifying
from curation.privacy.text import FIRST, find_identifiers

_WORDS: Final = re.compile(r"[^\W_]+")
_SIDES_LISTED: Final = """
l r lt rt left right li re links rechts gauche droite izquierda derecha izq der esquerda direita
sinistra destra левый правый лево право 左 右 왼쪽 오른쪽 ap pa lat lateral
supine prone erect upright
standing sitting semi portable decub decubitus oblique obl axial sagittal coronal cor sag ax
anterior posterior superior inferior medial ant post sup inf head feet foot hfs ffs mobile side
view frontal inspiration expiration insp exp wb weight bearing
"""
_SIDES: Final = frozenset(_SIDES_LISTED.split())
"""Words of markers of side, view and position."""
_SCALE: Final = re.compile(
    r"\W*(?:[a-z.: ]{0,12}?[:= ]?\s*)?[-+]?\d+(?:[.,]\d+)?\s?(?:cm|mm|μm|um|nm|m"
    r"|kv|kvp|ma|mas|ms|s|hz|khz|mhz|fps|db|dpi|%|x|°|cm/s|mm/s|m/s|t|tesla|ml|mgy|gy|hu|px|min|sec)(?:\s?/\s?(?:div|\d+))?\W*",
    re.IGNORECASE,
)
_WATERMARKS: Final = (
    *("medpix", "radiopaedia", "eurorad", "shutterstock", "getty", "istock", "alamy", "dreamstime"),
    *("learningradiology", "auntminnie", "wikimedia", "copyright", "watermark", "downloadedfrom"),
)
_RIGHTS: Final = re.compile(r"©|\(c\)\s*(?:19|20)\d\d|all rights reserved", re.IGNORECASE)
LEAST_ALIKE: Final = 80.0
"""Similarity, in percent, from which a line has a name of the header: readers mistake letters."""
# What readers mistake for each other becomes one sign.
_CONFUSED: Final = str.maketrans("o0q1li!|5s8b2zgu9", "0001111155882z9v9")


def line_kind(text: str, names: Collection[str] = (), watermarks: Sequence[str] = ()) -> str:
    """Return the class of a line, the one that identifies most where it has several.

    Args:
        text: The line as it was read.
        names: Names, dates and numbers of the picture's header.
        watermarks: More words that make a line a watermark.
    """
    if _is_of_header(text, names):
        return "name"
    found = find_identifiers(text)
    if found:
        kinds = {one.kind for one in found}
        return "name" if "name" in kinds else min(kinds, key=FIRST.index)
    if is_identifying(text):
        if LOOKS_LIKE_A_NAME.search(text):
            return "name"
        return "date" if LOOKS_LIKE_A_DATE.search(text) else "number"
    plain = re.sub(r"[\W_]+", "", text).lower()
    if _RIGHTS.search(text) or any(
        mark in plain for mark in (*_WATERMARKS, *map(str.lower, watermarks))
    ):
        return "watermark"
    words = [word.lower() for word in _WORDS.findall(text)]
    if words and all(word in _SIDES for word in words):
        return "side"
    if _SCALE.fullmatch(text):
        return "scale"
    return "name" if _has_listed_names(words) else "other"


def _is_of_header(text: str, names: Collection[str]) -> bool:
    """Return whether a line has a part of the header, as far as a reader can tell letters apart."""
    if not names:
        return False
    from rapidfuzz import fuzz

    line = _flattened(text)
    for name in names:
        wanted = _flattened(name)
        if len(wanted) < 3 or not line:
            continue
        if wanted in line or (len(line) >= 5 and line in wanted):
            return True
        # Only where the line is long enough to contain the name.
        long_enough = len(wanted) >= 5 and len(line) >= len(wanted) - 1
        if long_enough and fuzz.partial_ratio(wanted, line) >= LEAST_ALIKE:
            return True
    return False


def _flattened(text: str) -> str:
    return folded_signs(text).translate(_CONFUSED)


def folded_signs(text: str) -> str:
    """Return the letters and digits of a text without case and accents."""
    return "".join(
        part
        for word in _WORDS.findall(text)
        for part in (word if word.isdigit() else folded(word) or word.lower())
    )


def _has_listed_names(words: Sequence[str]) -> bool:
    """Return whether a line is a given and a family name, in any order, as scanners write them."""
    named = [folded(word) for word in words if word.isalpha() and len(word) > 1]
    if not 2 <= len(named) <= 4 or len(named) < len([word for word in words if len(word) > 1]):
        return False
    lists = name_lists()
    given = [place for place, word in enumerate(named) if word in lists.given]
    family = [place for place, word in enumerate(named) if word in lists.family]
    return any(one != other for one in given for other in family)
