"""Train a linear classifier of clusters once, keep it in a file, and apply it to any pool."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from curation.neighbors import kmeans
from curation.pool import GraphConfig, SampleVectors
from curation.pool.pool import ZERO, unit_rows
from curation.selection.softmax import fit_softmax, softmax
from medsift.arrays import Doubles, Floats
from medsift.errors import UsageError
from medsift.storage.atomic import atomic_file

VERSION: Final = 1
PARTS: Final = ("image", "question", "answer")
DECIMALS: Final = 6
"""Of the score: below, sums differ with the number of threads, and ties would go by chance."""
_ROWS_AT_A_TIME: Final = 1 << 13

UNREADABLE: Final = (
    *(OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile),
    # NumPy reads an array alone where `.npy` data lie under the file's name.
    *(TypeError, AttributeError),
)


@dataclass(frozen=True, slots=True)
class OfaSelector:
    """A softmax classifier of k clusters of the weighted, centred parts of samples.

    `weights` (3,) and `means` are of picture, question and answer in the pool that it was trained
    on; `coefficients` (d, k), `intercepts` (k,), and the `share` (k,) of that pool in each cluster.
    """

    weights: Doubles
    means: tuple[Floats, Floats, Floats]
    coefficients: Doubles
    intercepts: Doubles
    share: Doubles

    def features(self, vectors: SampleVectors) -> Floats:
        """Return the unit vectors (n, d) that it classifies; zero for a sample without any part.

        Parts are centred on the stored means, so that a sample has one vector in whatever pool.
        Texts that the encoder cannot read count as missing.

        Raises:
            UsageError: vectors of other widths than those that it was trained on.
        """
        parts = (vectors.image, vectors.question, vectors.answer)
        widths = [part.shape[1] for part in parts]
        known = [len(mean) for mean in self.means]
        if widths != known:
            message = (
                f"the selector was trained on vectors of {known} numbers for picture, question and "
                f"answer, the pool has {widths}; train one on vectors of the same encoder"
            )
            raise UsageError(message, code="selector_invalid", widths=widths, trained_on=known)
        centred = [
            np.float32(weight) * _centred(part, mean)
            for part, mean, weight in zip(parts, self.means, self.weights, strict=True)
        ]
        return unit_rows(np.concatenate(centred, axis=1))

    def probabilities(self, features: Floats) -> Doubles:
        """Return the probability (n, k) of each cluster."""
        return softmax(features.astype(np.float64) @ self.coefficients + self.intercepts)

    def score(self, vectors: SampleVectors) -> Doubles:
        """Return (1 − margin) · rarity (n,) of samples, to `DECIMALS` places.

        The margin is the difference of the two greatest probabilities, the rarity −log share of the
        most probable cluster.
        """
        features = self.features(vectors)
        rarity = -np.log(self.share)
        scores = np.empty(len(features))
        for start in range(0, len(features), _ROWS_AT_A_TIME):
            part = slice(start, start + _ROWS_AT_A_TIME)
            probability = self.probabilities(features[part])
            best = probability.argmax(axis=1)
            second, first = np.partition(probability, -2, axis=1)[:, -2:].T
            scores[part] = (1.0 - (first - second)) * rarity[best]
        return scores.round(DECIMALS)

    def save(self, path: Path) -> None:
        """Write the selector to a file (`.npz`). Raises StorageError."""
        image, question, answer = self.means
        with atomic_file(path, "name another file") as partial, partial.open("wb") as file:
            np.savez(
                file,
                version=VERSION,
                weights=self.weights,
                coefficients=self.coefficients,
                intercepts=self.intercepts,
                share=self.share,
                mean_image=image,
                mean_question=question,
                mean_answer=answer,
            )

    @classmethod
    def load(cls, path: Path) -> OfaSelector:
        """Read a selector. Raises UsageError for a file that is none, or of another version."""
        try:
            with np.load(path) as arrays:
                version = int(arrays["version"])
                if version != VERSION:
                    raise ValueError(f"it has version {version}, not {VERSION}")
                image, question, answer = (arrays[f"mean_{name}"] for name in PARTS)
                return cls(
                    weights=arrays["weights"],
                    means=(image, question, answer),
                    coefficients=arrays["coefficients"],
                    intercepts=arrays["intercepts"],
                    share=arrays["share"],
                )
        except UNREADABLE as error:
            message = f"{path} is no selector of this version: {error}; run `medsift selector`"
            raise UsageError(message, code="selector_invalid", path=str(path)) from error


def train_selector(
    vectors: SampleVectors, graph: GraphConfig, clusters: int, seed: int, device: str = "auto"
) -> OfaSelector:
    """Cluster samples, and fit the classifier that predicts their clusters.

    Args:
        vectors: The samples' vectors.
        graph: Weights of picture, question and answer.
        clusters: Number of clusters; those that stay empty are left out.
        seed: Of the first centroids.
        device: Where clusters are searched.

    Raises:
        UsageError: fewer than two samples or clusters, or more clusters than samples.
    """
    n = len(vectors.image)
    if not 2 <= clusters <= n:
        message = f"a selector needs 2 clusters or more and as many samples: {clusters} of {n}"
        raise UsageError(message, code="selector_invalid", clusters=clusters, samples=n)
    untrained = OfaSelector(
        weights=np.array([graph.image, graph.question, graph.answer]),
        means=(_mean(vectors.image), _mean(vectors.question), _mean(vectors.answer)),
        coefficients=np.zeros((0, 0)),
        intercepts=np.zeros(0),
        share=np.zeros(0),
    )
    features = untrained.features(vectors)
    # FAISS takes seeds of 31 bits.
    _, cluster = kmeans(features, clusters, seed % (1 << 31), device=device)
    _, label, size = np.unique(cluster, return_inverse=True, return_counts=True)
    if len(size) < 2:
        message = f"all {n} samples fall into one cluster; use another method"
        raise UsageError(message, code="selector_invalid", clusters=1, samples=n)
    coefficients, intercepts = fit_softmax(features.astype(np.float64), label)
    share = size / n
    return OfaSelector(untrained.weights, untrained.means, coefficients, intercepts, share)


def _mean(part: Floats) -> Floats:
    known = part[np.linalg.norm(part, axis=1) > ZERO]
    # A single vector less itself would vanish: it keeps its direction.
    if len(known) < 2:
        return np.zeros(part.shape[1], np.float32)
    return np.asarray(known.mean(axis=0, dtype=np.float64), np.float32)


def _centred(part: Floats, mean: Floats) -> Floats:
    known = np.linalg.norm(part, axis=1) > ZERO
    centred = np.zeros_like(part)
    centred[known] = unit_rows(part[known] - mean)
    return centred
