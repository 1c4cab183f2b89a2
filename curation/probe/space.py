"""Describe samples to the probe: a kernel over the frozen vectors of picture and question.

The kernel is exp(4 (cos_q - 1)) (0.3 + exp(cos_i - 1)): two samples count as alike where their
questions are, and more so where their pictures are too. The product is what lets the probe learn
an answer that depends on picture and question together, while the constant keeps what a question
says about its answer whatever the picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from curation.pool import SampleVectors
from medsift.arrays import Doubles, Floats, Indices

IMAGE_DIMENSIONS: Final = 192
QUESTION_SHARPNESS: Final = 4.0
QUESTION_ALONE: Final = 0.3
"""Weight of the part of the kernel that ignores the picture."""
EXACT_UP_TO: Final = 6000
"""Samples up to which the kernel matrix is kept whole: 288 MB of doubles."""
LANDMARKS: Final = 2048
ZERO: Final = 1e-6


@dataclass(frozen=True)
class ProbeSpace:
    """Samples (n) as the probe sees them.

    `image` (n, d_i) are whitened unit vectors, `question` (n, d_q) centred unit vectors; both are
    zero where a sample lacks the part. Up to `exact_up_to` samples the kernel is exact; above,
    it is the Nyström approximation on `landmarks` samples drawn by `seed` (Williams and Seeger
    2001, "Using the Nyström method to speed up kernel machines").
    """

    image: Doubles
    question: Doubles
    seed: int = 0
    exact_up_to: int = EXACT_UP_TO
    landmarks: int = LANDMARKS

    def __len__(self) -> int:
        """Count the samples."""
        return len(self.question)

    @property
    def exact(self) -> bool:
        """Whether the kernel is exact."""
        return len(self) <= self.exact_up_to

    @cached_property
    def matrix(self) -> Doubles:
        """The kernel (n, n) between all samples; only where it is exact."""
        everyone = np.arange(len(self))
        return self._kernel(everyone, everyone)

    @cached_property
    def features(self) -> Floats:
        """Features (n, m) whose products approximate the kernel; only where it is not exact."""
        drawn = np.random.default_rng(self.seed).permutation(len(self))[: self.landmarks]
        chosen = np.sort(drawn)
        values, axes = np.linalg.eigh(self._kernel(chosen, chosen))
        # Directions below float32's resolution are noise that the division would blow up.
        kept = values > values[-1] * 1e-6
        root = axes[:, kept] / np.sqrt(values[kept])
        blocks = np.array_split(np.arange(len(self)), max(1, len(self) // 8192))
        return np.concatenate(
            [(self._kernel(block, chosen) @ root).astype(np.float32) for block in blocks]
        )

    def kernel(self, rows: Indices, columns: Indices) -> Doubles:
        """Return the kernel (r, c) between two sets of samples."""
        if self.exact:
            return self.matrix[np.ix_(rows, columns)]
        return (self.features[rows] @ self.features[columns].T).astype(np.float64)

    def _kernel(self, rows: Indices, columns: Indices) -> Doubles:
        question = self.question[rows] @ self.question[columns].T
        image = self.image[rows] @ self.image[columns].T
        pictures = QUESTION_ALONE + np.exp(image - 1.0)
        return np.asarray(np.exp(QUESTION_SHARPNESS * (question - 1.0)) * pictures, np.float64)


def probe_space(vectors: SampleVectors, seed: int = 0) -> ProbeSpace:
    """Return the probe's view of samples from the vectors of their pictures and questions.

    Centring and whitening use all samples, also those that are asked about later, but no answer.
    Questions that the encoder cannot read are compared by their characters, as in the pool's graph.
    """
    question = _centred_unit(vectors.question)
    if vectors.question_letters is not None:
        question = np.concatenate([question, _centred_unit(vectors.question_letters)], axis=1)
    return ProbeSpace(_whitened_unit(vectors.image), question, seed)


def _present(vectors: Floats | Doubles) -> Indices:
    return np.flatnonzero(np.linalg.norm(vectors, axis=1) > ZERO)


def _unit(vectors: Doubles) -> Doubles:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > ZERO)
    return np.asarray(scaled, np.float64)


def _centred_unit(vectors: Floats) -> Doubles:
    centred = np.zeros(vectors.shape)
    present = _present(vectors)
    if len(present):
        centred[present] = vectors[present] - vectors[present].mean(axis=0, dtype=np.float64)
    return _unit(centred)


def _whitened_unit(vectors: Floats) -> Doubles:
    """Project on the directions in which pictures vary most, each scaled to variance one.

    One copy of each distinct vector decides: a picture with many questions would otherwise bend
    the space towards itself.
    """
    present = _present(vectors)
    if not len(present):
        return np.zeros((len(vectors), 1))
    distinct = np.unique(vectors[present], axis=0).astype(np.float64)
    mean = distinct.mean(axis=0)
    values, axes = np.linalg.eigh((distinct - mean).T @ (distinct - mean) / len(distinct))
    values, axes = values[::-1][:IMAGE_DIMENSIONS], axes[:, ::-1][:, :IMAGE_DIMENSIONS]
    # n pictures span at most n - 1 directions; the rest have no variance to divide by.
    kept = values > max(values[0], ZERO) * 1e-6
    whitened = np.zeros((len(vectors), max(1, int(kept.sum()))))
    if kept.any():
        scaled = axes[:, kept] / np.sqrt(values[kept])
        whitened[present] = (vectors[present] - mean) @ scaled
    return _unit(whitened)
