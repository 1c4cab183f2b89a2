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
from curation.probe.algebra import Algebra, Array, NumpyAlgebra
from medsift.arrays import Doubles, Floats, Indices

IMAGE_DIMENSIONS: Final = 192
QUESTION_SHARPNESS: Final = 4.0
QUESTION_ALONE: Final = 0.3
"""Weight of the part of the kernel that ignores the picture."""
EXACT_UP_TO: Final = 6000
"""Samples up to which the kernel matrix is kept whole: 288 MB of doubles."""
LANDMARKS: Final = 2048
INTERACTIONS: Final = 256
ZERO: Final = 1e-6


@dataclass(frozen=True)
class ProbeSpace:
    """Samples (n) as the probe sees them.

    `image` (n, d_i) are whitened unit vectors, `question` (n, d_q) centred unit vectors; both are
    zero where a sample lacks the part. Up to `exact_up_to` samples the kernel is exact; above,
    it is the Nyström approximation on `landmarks` samples drawn by `seed` (Williams and Seeger
    2001, "Using the Nyström method to speed up kernel machines"). `algebra` computes it, and its
    arrays are of that kind.
    """

    image: Doubles
    question: Doubles
    seed: int = 0
    exact_up_to: int = EXACT_UP_TO
    landmarks: int = LANDMARKS
    algebra: Algebra = NumpyAlgebra()  # noqa: RUF009 - frozen

    def __len__(self) -> int:
        """Count the samples."""
        return len(self.question)

    @property
    def exact(self) -> bool:
        """Whether the kernel is exact."""
        return len(self) <= self.exact_up_to

    @cached_property
    def matrix(self) -> Array:
        """The kernel (n, n) between all samples; only where it is exact."""
        everyone = np.arange(len(self))
        return self._kernel(everyone, everyone)

    @cached_property
    def features(self) -> Array:
        """Features (n, m) in single precision, whose products are near the kernel.

        Only where it is not exact.
        """
        drawn = np.random.default_rng(self.seed).permutation(len(self))[: self.landmarks]
        chosen = np.sort(drawn)
        values, axes = self.algebra.eigh(self._kernel(chosen, chosen))
        # Directions below single precision are noise that the division would blow up.
        kept = values > values[-1] * 1e-6
        root = axes[:, kept] / values[kept] ** 0.5
        blocks = np.array_split(np.arange(len(self)), max(1, len(self) // 8192))
        return self.algebra.stack(
            [self.algebra.single(self._kernel(block, chosen) @ root) for block in blocks]
        )

    def kernel(self, rows: Indices, columns: Indices) -> Array:
        """Return the kernel (r, c) between two sets of samples."""
        if self.exact:
            return self.algebra.cut(self.matrix, rows, columns)
        return self.algebra.double(self.features[rows] @ self.features[columns].T)

    @cached_property
    def inputs(self) -> Floats:
        """What a network sees (n, f): picture, question and their interaction.

        The interaction is 256 products of a random direction of the picture with one of the
        question: over two samples, their scalar product is near that of the pictures times that of
        the questions (Kar and Karnick 2012, "Random feature maps for dot product kernels"). Every
        number has a variance near one.
        """
        rng = np.random.default_rng(self.seed)
        image, question = self.image, self.question
        looked, asked = (
            rng.standard_normal((part.shape[1], INTERACTIONS)) for part in (image, question)
        )
        parts = (
            image * image.shape[1] ** 0.5,
            question * question.shape[1] ** 0.5,
            (image @ looked) * (question @ asked),
        )
        return np.concatenate(parts, axis=1).astype(np.float32)

    def prepare_kernel(self) -> None:
        """Compute the matrix or the features, if that has not been done."""
        _ = self.matrix if self.exact else self.features

    def _kernel(self, rows: Indices, columns: Indices) -> Array:
        put, exp = self.algebra.put, self.algebra.exp
        question = put(self.question[rows]) @ put(self.question[columns]).T
        image = put(self.image[rows]) @ put(self.image[columns]).T
        pictures = QUESTION_ALONE + exp(image - 1.0)
        return exp(QUESTION_SHARPNESS * (question - 1.0)) * pictures


def probe_space(
    vectors: SampleVectors, seed: int = 0, algebra: Algebra | None = None
) -> ProbeSpace:
    """Return the probe's view of samples from the vectors of their pictures and questions.

    Centring and whitening use all samples, also those that are asked about later, but no answer.
    Questions that the encoder cannot read are compared by their characters, as in the pool's graph.
    """
    question = _centred_unit(vectors.question)
    if vectors.question_letters is not None:
        question = np.concatenate([question, _centred_unit(vectors.question_letters)], axis=1)
    image = _whitened_unit(vectors.image)
    return ProbeSpace(image, question, seed, algebra=algebra or NumpyAlgebra())


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
