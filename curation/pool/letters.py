"""Make vectors of texts by their characters alone, for texts that the encoder cannot read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from curation.neighbors.shingles import canonical
from medsift.arrays import Floats

LETTER_DIMENSION: Final = 256
LONGEST: Final = 3
# Odd multipliers with well mixed bits (Steele, Lea and Flood 2014, SplitMix64).
_STEP: Final = np.uint64(0x9E3779B97F4A7C15)
_MIX: Final = np.uint64(0xBF58476D1CE4E5B9)


def letter_vectors(texts: Sequence[str]) -> Floats:
    """Return unit vectors (n, 256) of texts that are not empty, by the characters they have.

    Counts of runs of one to three characters of the normal form, each run at a dimension and with a
    sign that its hash names (Weinberger et al. 2009, arXiv 0902.2206): the cosine of two texts is,
    on average, that of their counts. Equal normal forms have equal vectors; texts that share no
    run are near 0, apart from chance of about 1/16.
    """
    vectors = np.zeros((len(texts), LETTER_DIMENSION), np.float32)
    for row, text in enumerate(texts):
        hashes = _hash_runs(canonical(text))
        # Two ranges of bits, so that the sign does not depend on the dimension.
        dimension = (hashes >> np.uint64(40)).astype(np.int64) % LETTER_DIMENSION
        sign = np.where((hashes >> np.uint64(20)) & np.uint64(1), 1.0, -1.0)
        np.add.at(vectors[row], dimension, sign.astype(np.float32))
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    # Runs that cancel each other out would leave a text without a vector.
    vectors[norms[:, 0] == 0.0, 0] = 1.0
    return np.asarray(vectors / np.where(norms == 0.0, 1.0, norms), np.float32)


def _hash_runs(text: str) -> NDArray[np.uint64]:
    """Hash every run of one to three characters, with the ends of the text marked by a space."""
    codes = np.frombuffer(f" {text} ".encode("utf-32-le"), np.uint32).astype(np.uint64)
    parts = []
    run = np.zeros(len(codes), np.uint64)
    for size in range(1, LONGEST + 1):
        run = (run[: len(codes) - size + 1] + codes[size - 1 :] + np.uint64(1)) * _STEP
        run ^= run >> np.uint64(29)
        mixed = run * _MIX
        parts.append(mixed ^ (mixed >> np.uint64(32)))
    # The two marks alone say nothing of the text.
    return np.concatenate([parts[0][1:-1], *parts[1:]])
