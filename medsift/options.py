"""The options of a choice question: letters taken off, put on, and looked for in a text."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from string import ascii_uppercase
from typing import Final

LETTERS: Final = ascii_uppercase
_SIGN: Final = r"[.:)\]、．：）]"
_PREFIX: Final = re.compile(rf"^\s*[(\[（]?\s*([A-Za-z])\s*(?:{_SIGN}{{1,2}}|\s-(?=\s))\s*")
_NUMBER: Final = re.compile(r"^\s*[(\[（]?\s*(\d{1,2})\s*(?:[.:)\]）]{1,2}(?!\d)|[、．：])\s*")
# A small letter needs its bracket, or a full stop at the start of a line: "e.g. a. b." is prose.
_MARK: Final = re.compile(
    r"(?:(?<=[\s,;，；。?？:：])|^)[(\[（]?"
    r"(?:([A-Z])(?:[.:]?[)\]）][.:]?|[、．：]|[.:](?=[^\x00-\x7f]|\s|[A-Za-z]{2}))|([a-z])[)\]）])\s*"
    r"|^([a-z])[.:]\s+",
    re.MULTILINE,
)


def without_letter(option: str, letter: str) -> str:
    """An option without the letter it was published with: "A: liver" is "liver"."""
    found = _PREFIX.match(option)
    if found is None or found[1].upper() != letter:
        return option.strip()
    return option[found.end() :].strip()


def letter_of(option: str) -> str | None:
    """The letter that an option begins with, in upper case, or None."""
    found = _PREFIX.match(option)
    return found[1].upper() if found else None


def without_letters(options: Sequence[str]) -> list[str]:
    """Options in order, each without the letter or number of its own place, where they carry them.

    "A. fumigatus" next to "E. coli" carries no letter: either every option has that of its place,
    or every one but one of at least three ("None of the above" is often written without).
    """
    for prefix, labels in (
        (_PREFIX, LETTERS),
        (_NUMBER, [str(place) for place in range(1, len(options) + 1)]),
    ):
        matches = [prefix.match(option) for option in options]
        own = [
            match is not None and match[1].upper() == label
            for match, label in zip(matches, labels, strict=False)
        ]
        if sum(own) >= max(2, len(options) - (len(options) > 2)):
            return [
                option[match.end() :].strip() if match and mine else option.strip()
                for option, match, mine in zip(options, matches, own, strict=True)
            ]
    return [option.strip() for option in options]


def split_options(text: str) -> tuple[str, list[str]]:
    """A question's stem and the lettered options after it, or the text itself and none.

    Options are "(A) …", "A) …", "A. …", "A: …" or "a) …", in a line or on lines of their own,
    from A without a gap, and at least two.
    """
    marks = [(mark, mark[1] or mark[2] or mark[3]) for mark in _MARK.finditer(text)]
    for first, (mark, letter) in enumerate(marks):
        if letter not in ("A", "a"):
            continue
        alphabet = LETTERS if letter == "A" else LETTERS.lower()
        run = [mark]
        for following, letter_there in marks[first + 1 :]:
            if letter_there == alphabet[len(run) : len(run) + 1]:
                run.append(following)
        if len(run) > 1:
            ends = [following.start() for following in run[1:]] + [len(text)]
            options = [
                text[one.end() : end].strip(" \t\r\n,;，；")
                for one, end in zip(run, ends, strict=True)
            ]
            return text[: mark.start()].strip(), options
    return text, []


def lettered(options: Sequence[str]) -> str:
    """Options as a question lists them, one a line: `A. …`."""
    return "\n".join(f"{letter}. {text}" for letter, text in zip(LETTERS, options, strict=False))


def folded(text: str) -> str:
    """A text as options are compared: case, width and white space aside, no full stop at its end.

    Signs stay, since "ER+" and "ER-" are two options.
    """
    plain = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return plain.rstrip(".。;,") or plain
