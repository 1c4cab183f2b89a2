"""Read and write the options of a choice question: take letters off, put them on, find them."""

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
    """Return an option without the letter it was published with: "A: liver" is "liver"."""
    match = _PREFIX.match(option)
    if match is None or match[1].upper() != letter:
        return option.strip()
    return option[match.end() :].strip()


def letter_of(option: str) -> str | None:
    """Return the letter that an option begins with, in upper case, or None."""
    match = _PREFIX.match(option)
    return match[1].upper() if match else None


def without_letters(options: Sequence[str]) -> list[str]:
    """Return options in order, without the letter or number of their position where they have it.

    "A. fumigatus" next to "E. coli" has no letter: either every option has the one of its position,
    or all but one of at least three ("None of the above" is often written without).
    """
    for prefix, labels in (
        (_PREFIX, LETTERS),
        (_NUMBER, [str(number) for number in range(1, len(options) + 1)]),
    ):
        matches = [prefix.match(option) for option in options]
        own = [
            match is not None and match[1].upper() == label
            for match, label in zip(matches, labels, strict=False)
        ]
        if sum(own) >= max(2, len(options) - (len(options) > 2)):
            return [
                option[match.end() :].strip() if match and is_own else option.strip()
                for option, match, is_own in zip(options, matches, own, strict=True)
            ]
    return [option.strip() for option in options]


def split_options(text: str) -> tuple[str, list[str]]:
    """Return a question's stem and the lettered options after it, or the text itself and none.

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
                text[start.end() : end].strip(" \t\r\n,;，；")
                for start, end in zip(run, ends, strict=True)
            ]
            return text[: mark.start()].strip(), options
    return text, []


def lettered(options: Sequence[str]) -> str:
    """Return options as a question lists them, one per line: `A. …`."""
    return "\n".join(f"{letter}. {text}" for letter, text in zip(LETTERS, options, strict=False))


def folded(text: str) -> str:
    """Return an option for comparison: case, width, space, final stop folded; signs (ER+) stay."""
    plain = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return plain.rstrip(".。;,") or plain
