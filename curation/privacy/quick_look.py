"""Note the clearest identifiers in texts, and in what was read from pictures, at little cost.

A finding becomes a note that a person should look at; no row is dropped for it. What `privacy` in a
recipe asks for is more, and is in the other files of this package.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

TEXT_NOTE: Final = "possible identifier in the text"
IDENTITY_NOTE: Final = "possible identity burned in"
BURNED_NOTE: Final = "burned-in text"

_LABEL: Final = (
    r"(?:MRN|PID|SSN|NHS|(?:patient|pat|pt|hospital|study|accession|acc)[\s._-]*"
    r"(?:id|no|number|nr|num)|medical\s+record\s+(?:no|number)|accession)"
)
_MONTH: Final = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)"
_DAY: Final = (
    r"(?:\d{1,2}\s?[/.-]\s?\d{1,2}\s?[/.-]\s?(?:19|20)?\d{2}|(?:19|20)\d{2}[/.-]\d{1,2}[/.-]\d{1,2}"
    rf"|\d{{1,2}}[\s-]?{_MONTH}[a-z]*[\s.,-]*(?:19|20)\d{{2}}"
    rf"|{_MONTH}[a-z]*\.?\s+\d{{1,2}},?\s+(?:19|20)\d{{2}}"
    r"|(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01]))"
)
# Family^Given with the DICOM separator: two words of two capitals or more, or Capitalised ones.
_PERSON: Final = r"[A-Z][A-Za-z'-]+\^[A-Z][A-Za-z'-]+(?:\^[A-Za-z.'-]*){0,3}"
_IDENTIFIERS: Final = re.compile(
    rf"(?P<person>\b{_PERSON})"
    rf"|(?P<number>\b(?i:{_LABEL})\b\W{{0,3}}(?=[A-Z0-9-]*\d{{3}})[A-Z0-9][A-Z0-9-]{{3,}})"
    rf"|(?P<born>\b(?i:d\.?o\.?b\.?|born(?:\s+on)?|date\s+of\s+birth|birth\s*date)\W{{0,3}}"
    rf"(?i:{_DAY}))"
    r"|(?P<mail>\b[\w.+-]{1,64}@[\w-]+(?:\.[\w-]+)*\.[A-Za-z]{2,}\b)"
    r"|(?P<social>(?<![\w-])\d{3}-\d{2}-\d{4}(?![\w-]))"
    # Lines that anyone may call free of charge (800, 888, 877, …) belong to no person.
    r"|(?P<phone>(?<![\w.-])(?:\+?1[\s.-]?)?(?!\(?8(?:00|88|77|66|55|44|33)\b)"
    r"(?:\([2-9]\d{2}\)\s?|[2-9]\d{2}[.-])[2-9]\d{2}[.-]\d{4}(?![\w-])"
    r"|(?<!\w)\+[1-9]\d{0,2}[\s.-]\d{1,4}(?:[\s.-]\d{2,4}){2,5}(?![\w-]))"
)
# Every identifier has one of these; most texts have none, and need no closer look.
_GATE: Final = re.compile(r"[\^@]|\+\d|\d{3}|\d[/.-]\d{1,2}[/.-]\d{2}")
# A reader mistakes ^ for ~ and O for 0, loses spaces, and may join a name and the date behind it.
# Scanners also write FAMILY,GIVEN and bare record numbers of seven digits or more.
LOOKS_LIKE_A_NAME: Final = re.compile(
    r"[A-Z0-9'-]{2,}\s?[\^~]\s?[A-Z0-9'-]{2,}|\b[A-Z'-]{3,},\s?[A-Z'-]{3,}"
)
LOOKS_LIKE_A_DATE: Final = re.compile(
    rf"(?<![\d.]){_DAY}|(?<!\d)(?:19|20)\d{{2}}{_MONTH}\d{{2}}", re.IGNORECASE
)
_READ: Final = (
    LOOKS_LIKE_A_NAME,
    LOOKS_LIKE_A_DATE,
    re.compile(r"[A-Z]{3}[A-Z0-9]*\d{2}/\d{2}|(?<![\w.-])\d{7,}(?![\w-])"),
    re.compile(
        rf"(?:{_LABEL}|\b(?:id|dob|name|patient|born))\W{{1,3}}\s*\S*\w{{3}}", re.IGNORECASE
    ),
    _IDENTIFIERS,
)


def identifiers(text: str) -> list[str]:
    """Return the parts of a text that may identify a patient, in order.

    These are DICOM names (``DOE^JANE``), labelled record numbers (``MRN 0012345``), dates of
    birth, e-mail addresses, telephone and social security numbers. Bare dates, years and names
    in plain prose are not found.
    """
    if _GATE.search(text) is None:
        return []
    return [match.group() for match in _IDENTIFIERS.finditer(text)]


def is_identifying(read: str) -> bool:
    """Return whether text read from a picture looks like a name, a date or a labelled number.

    The rule is wider than that of `identifiers`, because scanners write little else.
    """
    return any(pattern.search(read) for pattern in _READ)


def burned_in_notes(lines: Iterable[str]) -> list[str]:
    """Return notes on the lines of text in one picture: how many identify, and how many do not.

    What they say is in no note: notes go into manifests and reports.
    """
    identifying = [is_identifying(line) for line in lines]
    counts = ((IDENTITY_NOTE, sum(identifying)), (BURNED_NOTE, len(identifying) - sum(identifying)))
    return [f"{note}: {count} line{'s' * (count > 1)}" for note, count in counts if count]
