"""Read a sample's last answer with the words and pictures that lead to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from curation.scoring.language import Exchange, read_exchange
from medsift import records
from medsift.models.image_text import marked


@dataclass(frozen=True)
class IllustratedExchange(Exchange):
    """An answer, the turns before it with a mark for each picture, and where the pictures are."""

    refs: tuple[str, ...]
    images: tuple[str, ...]


def read_illustrated(
    messages: Sequence[dict[str, str]], refs: Sequence[str] | None, images: Sequence[str] | None
) -> IllustratedExchange | None:
    """Return a sample's last answer and its pictures; None without one, question or answer."""
    plain = read_exchange(messages)
    if plain is None or not refs or not images:
        return None
    turns = marked(
        [(turn["role"], turn["content"] or "") for turn in messages[: len(plain.turns)]], len(refs)
    )
    parts = [str(len(images)), *images, *chain(*turns), plain.answer]
    content_id = records.digest("illustrated", *parts)
    return IllustratedExchange(content_id, turns, plain.answer, tuple(refs), tuple(images))
