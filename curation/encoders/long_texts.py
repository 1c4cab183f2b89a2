"""Encode texts longer than a text tower takes at once: all their parts, not the first."""

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
    """Return unit vectors (n, dimension) of texts, all zero where the reader cannot read one.

    A text longer than the tower takes has the unit mean of its parts' vectors, each weighted by its
    length: cut off, it would equal every text that begins alike.

    Args:
        texts: Texts (n) of any length.
        reader: Judges and measures texts for the tower.
        encode: Returns the unit vectors (m, dimension) of m texts that fit the tower.
        dimension: Length of a vector.
    """
    vectors = np.zeros((len(texts), dimension), np.float32)
    legible = np.flatnonzero(reader.reads(texts)).tolist()
    if not legible:
        return vectors
    sizes = [len(ids) for ids in reader.tokens([texts[place] for place in legible])]
    short = [place for place, size in zip(legible, sizes, strict=True) if size <= reader.limit]
    if short:
        vectors[short] = encode([texts[place] for place in short])
    long = [place for place, size in zip(legible, sizes, strict=True) if size > reader.limit]
    if long:
        parts = [fitting_parts(texts[place], reader) for place in long]
        flat = [part for text_parts in parts for part in text_parts]
        weights = np.array([len(part) for part in flat], np.float64)
        starts = np.cumsum([0, *(len(text_parts) for text_parts in parts[:-1])])
        weighted = encode(flat).astype(np.float64) * weights[:, None]
        vectors[long] = unit(np.add.reduceat(weighted, starts, axis=0))
    return vectors


def fitting_parts(text: str, reader: TextReader) -> list[str]:
    """Return the text in parts that fit the tower, halved at white space where there is some."""
    cut = _middle(text)
    if cut is None or len(reader.tokens([text])[0]) <= reader.limit:
        return [text]
    halves = text[:cut].rstrip(), text[cut:].lstrip()
    return [part for half in halves for part in fitting_parts(half, reader)]


def _middle(text: str) -> int | None:
    """Return where to cut a text in two: the white space nearest its middle, else the middle."""
    if len(text) < 2:
        return None
    half = len(text) // 2
    inner = [
        space.start()
        for space in re.finditer(r"\s+", text)
        if space.start() > 0 and space.end() < len(text)
    ]
    return min(inner, key=lambda place: abs(place - half), default=half)
