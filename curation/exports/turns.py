"""Place a sample's pictures in its conversation, and list the facts that travel along."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from medsift.records import TAGS
from medsift.vocabulary import IMAGE_MARK

IDENTITY: Final = ("sample_id", "row_id", "rank", "weight", "stratum")
FACTS: Final = (*IDENTITY, "source", *TAGS)
NUMBERS: Final = {"rank": "int64", "weight": "float64"}
"""Facts that are no text, with their types."""

OTHER_MARK: Final = re.compile(r"<(?:video|audio)>")
"""Marks that trainers count in every text against the films and sounds of its sample."""

Line = Mapping[str, Any]
Turn = dict[str, str]


def marked_turns(line: Line) -> list[Turn]:
    """The messages of a sample with exactly one ``<image>`` mark for each of its pictures.

    Marks that are there already stay when their number is right; otherwise they are taken out
    and all pictures lead the first user turn, each on a line of its own.
    """
    turns = [{"role": turn["role"], "content": turn["content"] or ""} for turn in line["messages"]]
    pictures = len(line["images"] or [])
    if sum(turn["content"].count(IMAGE_MARK) for turn in turns) == pictures:
        return turns
    for turn in turns:
        turn["content"] = turn["content"].replace(f"{IMAGE_MARK}\n", "").replace(IMAGE_MARK, "")
    first = next((turn for turn in turns if turn["role"] == "user"), turns[0])
    first["content"] = f"{IMAGE_MARK}\n" * pictures + first["content"]
    return turns


def spells_other_mark(line: Line) -> bool:
    """Whether a text of the sample talks of a mark that its trainer would count as a film's."""
    return any(OTHER_MARK.search(turn["content"] or "") for turn in line["messages"])


def chat(line: Line) -> list[dict[str, Any]]:
    """The messages as OpenAI and TRL have them: a content is a list of picture and text parts."""
    return [
        {"role": turn["role"], "content": parts(turn["content"])} for turn in marked_turns(line)
    ]


def parts(content: str) -> list[dict[str, str]]:
    """A marked turn as a list of picture and text parts."""
    found: list[dict[str, str]] = []
    for place, text in enumerate(content.split(IMAGE_MARK)):
        if place:
            found.append({"type": "image"})
        if text.strip() or (not place and IMAGE_MARK not in content):
            found.append(
                {"type": "text", "text": text.strip("\n") if IMAGE_MARK in content else text}
            )
    return found


def facts(line: Line, names: Sequence[str] = FACTS) -> dict[str, Any]:
    """Ids, place, weight, stratum and tags of a sample."""
    return {name: line[name] for name in names}
