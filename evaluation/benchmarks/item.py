"""One item as a benchmark publishes it, before its pictures are looked up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class FoundPicture:
    """A picture that exists: its reference and its identity.

    `digest` is the SHA-256 of its bytes; of a manifest's picture, its image id.
    """

    ref: str
    digest: str


@dataclass(frozen=True, slots=True)
class MissingPicture:
    """A picture that does not exist, and why."""

    reason: str


PublishedPicture = FoundPicture | MissingPicture | bytes | tuple[str, ...] | None
"""A picture that was looked up, its bytes, the names it may have, or None for none at all."""
Box = tuple[float, float, float, float]
TAGS: Final = ("patient_id", "modality", "body_part", "task_type", "language")
"""Fields of an entry that say what it is about; null where it is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One item as published.

    `item_id` of None becomes a digest of pictures, question and gold. `gold` is None where it is
    none of the options: such an item cannot be asked. `boxes` are regions on the first picture:
    left, top, right, bottom in pixels of the picture as shown. An item without pictures is refused
    unless `text_only`.
    """

    item_id: str | None
    question: str
    gold: str | None
    answer_type: str
    pictures: Sequence[PublishedPicture]
    options: Sequence[str] = ()
    patient_id: str | None = None
    modality: str | None = None
    body_part: str | None = None
    task_type: str | None = None
    language: str | None = "en"
    boxes: Sequence[Box] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    text_only: bool = False


@dataclass(frozen=True, slots=True)
class Unusable:
    """A record of the benchmark that cannot be asked, and why."""

    reason: str
