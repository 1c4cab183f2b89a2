"""Read the marks of pictures, films and sounds in texts, as the many formats write them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from curation.sources.row_faults import RowFault, chat_fault
from medsift.text import shown
from medsift.vocabulary import IMAGE_MARK

MARK_UNREAD: Final = "picture_mark_unread"
INSIDE_SENTENCE: Final = "{name}: {mark} is part of the sentence, not a mark"

_PLAIN: Final = (
    r"<\|?(?:image|picture)\|?>|<image_?here>|<(?:img|image|picture)[_ -](?:placeholder|token|pad)>"
    r"|<IMG_CONTEXT>|<image_soft_token>|<\|image[_-]?pad\|>|<__(?:media|image)__>|<\|placeholder\|>"
)
# One picture each: a wrapped mark, a run of one model's padding, a numbered mark, any plain mark.
_PICTURE: Final = re.compile(
    rf"""(?:(?:picture|image)\s*\d+\s*:\s*)?<img>\s*(?:(?:{_PLAIN})\s*)+</img>
      | (?:picture\s*\d+\s*:\s*)?<img>(?P<path>[^<>]+)</img>
      | <\|vision_start\|>\s*(?:(?:{_PLAIN})\s*)+<\|vision_end\|>
      | <start_of_image>(?:\s*(?:{_PLAIN}))*\s*<end_of_image> | <start_of_image>
      | <(?P<bar>\|)?(?:image|img|picture)[ _-]?(?P<number>\d{{1,3}})(?(bar)\|)>
      | (?:<\|image_?pad\|>)+ | (?:<IMG_CONTEXT>)+ | (?:<image_soft_token>)+
      | {_PLAIN}
      | (?-i:\[IMG\]|\[IMAGE\])""",
    re.VERBOSE | re.IGNORECASE,
)
# Texts that still look like a mark once the known marks are read.
_STRANGE: Final = re.compile(
    r"</?(?:img|im_?patch)\b[^<>]{0,2000}>|</?(?:image|img|picture)[_ -]?\w{0,20}\s*/?>"
    r"|<\|[a-z_]{0,20}(?:image|img|vision|picture)[a-z0-9_ ]{0,20}\|>|<(?:start|end)_of_image>",
    re.IGNORECASE,
)
_MEDIA: Final = re.compile(
    r"<\|(?:video|audio|speech|sound)[a-z0-9_]*\|>"
    r"|<(?:video|audio|speech)(?:[ _-]?(?:\d+|here|placeholder|token|pad))?>",
    re.IGNORECASE,
)


@dataclass(slots=True)
class Marks:
    """Reads the texts of one row, turn after turn; collects the pictures they name, and notes."""

    paths: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seen: int = 0

    def read(self, text: str | None, name: str) -> str | None:
        """Return the text with every known mark of a picture as ``<image>``.

        The n-th numbered mark must have the number n; later ones with it are mentions ("image
        n"). A ``<video>`` or ``<audio>`` inside a sentence is text and noted. Raises RowFault for
        a mark that is not read, and for one of a film or a sound.
        """
        if text is None or not ("<" in text or "[IM" in text):
            return text
        self._check_media(text, name)
        text = _PICTURE.sub(self._mark, text)
        if strange := _STRANGE.search(text.replace(IMAGE_MARK, "")):
            words = f"{name}: a picture mark that is not read: {shown(strange.group())}"
            raise RowFault(MARK_UNREAD, f"{words}; write {IMAGE_MARK}")
        return text

    def _mark(self, match: re.Match[str]) -> str:
        if match["number"] is not None:
            number = int(match["number"])
            if 0 < number <= self.seen:
                return f"image {number}"
            if number != self.seen + 1:
                words = f"mark {match.group()!r} is picture {self.seen + 1} of the text; number the"
                words += " pictures from 1 in the order in which they first appear, or write "
                raise RowFault(MARK_UNREAD, words + IMAGE_MARK)
        elif match["path"] is not None:
            self.paths.append(match["path"].strip())
        self.seen += 1
        return IMAGE_MARK

    def _check_media(self, text: str, name: str) -> None:
        for match in _MEDIA.finditer(text):
            before, after = text[: match.start()], text[match.end() :]
            line = before.rpartition("\n")[2].strip(), after.partition("\n")[0].strip()
            if "|" in match.group() or not all(line):
                words = f"{name}: {shown(match.group())} marks a film or a sound"
                raise chat_fault(f"{words}; only pictures are read")
            note = INSIDE_SENTENCE.format(name=name, mark=match.group())
            if note not in self.notes:
                self.notes.append(note)


def turn_names(roles: Sequence[str | None]) -> list[str]:
    """Return what notes call the turns of a conversation: question, answer, turn 1."""
    first = next((place for place, role in enumerate(roles) if role == "user"), -1)
    last = len(roles) - 1
    return [
        "question" if place == first else "answer" if place == last else f"turn {place}"
        for place in range(len(roles))
    ]
