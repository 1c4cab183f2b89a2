"""Vectors of texts longer than a text tower takes at once: of all their parts, not of the first."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np

from curation.encoders.readability import TextReader
from medsift.arrays import Vectors
from medsift.models.fixed_batches import unit


def encode_readable(
    texts: Sequence[str],
    reader: TextReader,
    encode: Callable[[Sequence[str]], Vectors],
    dimension: int,
) -> Vectors:
    """Unit vectors (n, dimension) of texts; all zero where the reader cannot read one.

    `encode` gives the unit vectors of texts that fit. A longer one has the unit mean of its parts'
    vectors, each weighted by its length: cut off, it would be taken for any that begins alike.
    """
    found = np.zeros((len(texts), dimension), np.float32)
    legible = np.flatnonzero(reader.reads(texts)).tolist()
    if not legible:
        return found
    sizes = [len(line) for line in reader.tokens([texts[place] for place in legible])]
    short = [place for place, size in zip(legible, sizes, strict=True) if size <= reader.limit]
    if short:
        found[short] = encode([texts[place] for place in short])
    long = [place for place, size in zip(legible, sizes, strict=True) if size > reader.limit]
    if long:
        found[long] = _of_parts([fitting_parts(texts[place], reader) for place in long], encode)
    return found


def fitting_parts(text: str, reader: TextReader) -> list[str]:
    """The text in parts that the tower takes whole, halved at white space where there is some."""
    cut = _middle(text)
    if cut is None or len(reader.tokens([text])[0]) <= reader.limit:
        return [text]
    halves = text[:cut].rstrip(), text[cut:].lstrip()
    return [part for half in halves for part in fitting_parts(half, reader)]


def _of_parts(
    parts: Sequence[Sequence[str]], encode: Callable[[Sequence[str]], Vectors]
) -> Vectors:
    flat = [part for some in parts for part in some]
    vectors = encode(flat).astype(np.float64)
    weight = np.array([len(part) for part in flat], np.float64)
    starts = np.cumsum([0, *(len(some) for some in parts[:-1])])
    return unit(np.add.reduceat(vectors * weight[:, None], starts, axis=0))


def _middle(text: str) -> int | None:
    """Where to cut a text in two: the white space nearest its middle, else the middle itself."""
    if len(text) < 2:
        return None
    half = len(text) // 2
    inner = [
        space.start()
        for space in re.finditer(r"\s+", text)
        if space.start() > 0 and space.end() < len(text)
    ]
    return min(inner, key=lambda place: abs(place - half), default=half)
