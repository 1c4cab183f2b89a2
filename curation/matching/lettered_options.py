"""Read the lettered options that a question offers, in time linear in its length."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from medsift.text import normalise_answer

MARK: Final = re.compile(r"\(?\b([A-Ha-h])[).:]")
SEPARATORS: Final = " \t\n\r\f\v,;"
NOT_SPACE: Final = re.compile(r"\S")


def choices(question: str) -> tuple[tuple[str, str], ...]:
    """Return the lettered options of a question, normalised and in order: (("a", "left"), …).

    A question with fewer than two of them offers none.
    """
    options = list(_options(question))
    if len(options) < 2:
        return ()
    return tuple((mark[1].casefold(), normalise_answer(words)) for mark, words in options)


def stem(question: str) -> str:
    """Return the question without its lettered options; whole where it offers none."""
    options = list(_options(question))
    return question if len(options) < 2 else question[: options[0][0].start()]


def _options(question: str) -> Iterator[tuple[re.Match[str], str]]:
    """Yield each mark ("A)", "(B)", "C.", "d:") with the words up to the next one.

    A mark ends the option before it only where white space follows, so that "B.C." and "A:1" stay
    inside; the first one needs none, as in "A)left". An option has at least one character.
    """
    current: re.Match[str] | None = None
    begin = 0
    for mark in MARK.finditer(question):
        if current is None:
            current, begin = mark, _word_after(mark)
            continue
        # An option has at least one character: a bracket right after a mark is that option's.
        start = mark.start() + (mark.start() == begin and question[begin] == "(")
        if start > begin and question[mark.end() : mark.end() + 1].isspace():
            # At least one character stays, as an option may be a comma.
            words = question[begin:start]
            yield current, words.rstrip(SEPARATORS) or words[:1]
            current, begin = mark, _word_after(mark)
    if current is not None and current.end() < len(question):
        yield current, question[begin:]


def _word_after(mark: re.Match[str]) -> int:
    """Return where the first word behind a mark begins, or the end of the text."""
    word = NOT_SPACE.search(mark.string, mark.end())
    return len(mark.string) if word is None else word.start()


def chosen(question: str, answer: str) -> str:
    """Return an answer in normal form; "B" and "(B) left" become the offered "left"."""
    normal = normalise_answer(answer)
    for letter, words in choices(question):
        if normal in (letter, words, f"{letter} {words}"):
            return words
    return normal
