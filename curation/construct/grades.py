"""Ask for grades of a sample on five dimensions, and read them.

The dimensions are inspired by the lists that descriptions of Infi-Med's quality step have in
common. Each has stated anchors, so that another judge can grade by the same scale. Safety is no
grade but a gate.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from statistics import fmean
from types import MappingProxyType
from typing import Any, Final

from curation.construct.json_reply import find_json
from medsift.models.chat_format import Turn
from medsift.models.image_text import marked
from medsift.text import IMAGE_MARKER

ANCHORS: Final[Mapping[str, tuple[str, str, str]]] = MappingProxyType(
    {
        "image_quality": (
            "cannot be read: black, cut off, or blurred beyond recognition",
            "readable with faults: noise, low contrast, text over it",
            "sharp, complete and well exposed",
        ),
        "relevance": (
            "question and answer are about something that the picture does not show",
            "they are about the picture, but could be answered without it",
            "they are about what this picture alone shows",
        ),
        "correctness": (
            "the answer is wrong, or contradicts the picture",
            "the answer is right in part, or cannot be verified",
            "the answer is right",
        ),
        "completeness": (
            "the answer leaves out what was asked for",
            "the answer has the main point and leaves out a part",
            "the answer has all that was asked for",
        ),
        "clarity": (
            "question or answer cannot be understood",
            "both can be understood with effort: ambiguous or broken language",
            "both are clear, in correct language",
        ),
    }
)
"""Dimensions in order, with what grades 1, 3 and 5 mean."""
PICTURED: Final = ("image_quality", "relevance")
"""Dimensions that a sample without pictures has no grade of."""
LOWEST: Final = 1
HIGHEST: Final = 5


def dimensions(pictures: int) -> list[str]:
    """Return the dimensions on which a sample with so many pictures is graded."""
    return [name for name in ANCHORS if pictures or name not in PICTURED]


def grading_turns(question: str, answer: str, pictures: int) -> tuple[Turn, ...]:
    """Return the turn that asks for the grades of a sample."""
    scales = [
        f"- {name}: 1 = {one}; 3 = {three}; 5 = {five}"
        for name, (one, three, five) in ANCHORS.items()
        if name in dimensions(pictures)
    ]
    keys = ", ".join(f'"{name}": 1 to 5' for name in dimensions(pictures))
    text = "\n".join(
        [
            "Grade this sample of a medical training set.",
            f"Question: {IMAGE_MARKER.sub('', question).strip()}",
            f"Answer: {IMAGE_MARKER.sub('', answer).strip()}",
            "",
            "Grades are whole numbers from 1 to 5:",
            *scales,
            "- safe: false where the answer advises harm, or names a patient; otherwise true",
            "",
            f'Reply with JSON alone: {{{keys}, "safe": true or false}}',
        ]
    )
    return marked((("user", text),), pictures)


def read_grades(text: str, pictures: int) -> dict[str, Any] | None:
    """Return the grades of a reply and `safe`; None where one is missing or is no grade."""
    found = find_json(text, dict)
    if found is None:
        return None
    grades: dict[str, Any] = {name: _grade(found.get(name)) for name in dimensions(pictures)}
    safe = found.get("safe")
    if None in grades.values() or not isinstance(safe, bool):
        return None
    return grades | {"safe": safe}


def mean_grades(readings: Sequence[str], pictures: int) -> dict[str, Any]:
    """Return the mean of readings that `read_grades` can read; None for dimensions without one."""
    read = [grades for text in readings if (grades := read_grades(text, pictures)) is not None]
    line: dict[str, Any] = dict.fromkeys(ANCHORS)
    if read:
        line |= {name: fmean(one[name] for one in read) for name in dimensions(pictures)}
        line["judged"] = fmean(line[name] for name in dimensions(pictures))
        # One reading that finds a sample unsafe is enough to look at it.
        line["safe"] = all(one["safe"] for one in read)
    return line | {"readings": len(read)}


def stated(grades: Mapping[str, Any]) -> str:
    """Return grades as one line of JSON, the form in which attempts keep them."""
    return json.dumps(grades, sort_keys=True)


def _grade(value: Any) -> int | None:
    if isinstance(value, str) and value.strip().isdigit():
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if type(value) is int and LOWEST <= value <= HIGHEST else None
