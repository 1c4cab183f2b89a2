"""Place a sample's pictures in its conversation, and list the facts that go with it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from medsift.records import TAGS
from medsift.vocabulary import IMAGE_MARK

IDENTITY: Final = ("sample_id", "row_id", "rank", "weight", "stratum")
FACTS: Final = (*IDENTITY, "source", *TAGS)
NUMBERS: Final = {"rank": "int64", "weight": "float64"}
"""Facts that are numbers, with their types."""

OTHER_MARK: Final = re.compile(r"<(?:video|audio)>")
"""Marks for which trainers expect a film or a sound, wherever a text contains them."""

Line = Mapping[str, Any]
Turn = dict[str, str]


def marked_turns(line: Line) -> list[Turn]:
    """Return the messages of a sample with exactly one ``<image>`` mark for each of its pictures.

    Marks that the text has already stay when their number is right; otherwise they are removed,
    and all pictures come first in the first user turn, each on a line of its own.
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
    """Return whether a text contains a mark for which a trainer would expect a film or sound."""
    return any(OTHER_MARK.search(turn["content"] or "") for turn in line["messages"])


def chat(line: Line) -> list[dict[str, Any]]:
    """Return the messages as OpenAI and TRL read them: contents are lists of parts."""
    turns = marked_turns(line)
    return [{"role": turn["role"], "content": parts(turn["content"])} for turn in turns]


def parts(content: str) -> list[dict[str, str]]:
    """Return the content of a marked turn as a list of picture and text parts."""
    if IMAGE_MARK not in content:
        return [{"type": "text", "text": content}]
    split: list[dict[str, str]] = []
    for number, text in enumerate(content.split(IMAGE_MARK)):
        if number:
            split.append({"type": "image"})
        if text.strip():
            split.append({"type": "text", "text": text.strip("\n")})
    return split


def facts(line: Line) -> dict[str, Any]:
    """Return ids, rank, weight, stratum and tags of a sample."""
    return {name: line[name] for name in FACTS}
