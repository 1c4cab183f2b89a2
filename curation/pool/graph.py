"""The nearest-neighbour graph of the pool: what density, label noise and selection share."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
from pydantic import Field, model_validator

from curation.neighbors import (
    Method,
    NeighborsConfig,
    TileRunner,
    approximate_nearest,
    check_vectors,
    join,
)
from curation.pool.pool import SampleVectors
from medsift.arrays import Floats, Indices
from medsift.config import Config

logger = logging.getLogger(__name__)


class GraphConfig(Config):
    """Which vectors make two samples neighbours, and how many neighbours each has."""

    neighbors: int = Field(default=32, ge=1, le=1024)
    """Neighbours of each sample."""
    image: float = Field(default=1.0, ge=0.0)
    """Weight of the picture in the joint vector."""
    question: float = Field(default=0.7, ge=0.0)
    """Weight of the question."""
    answer: float = Field(default=0.5, ge=0.0)
    """Weight of the answer."""

    @model_validator(mode="after")
    def _some_weight(self) -> GraphConfig:
        if self.image + self.question + self.answer <= 0.0:
            raise ValueError("image, question and answer all weigh 0; give one of them a weight")
        return self


@dataclass(frozen=True, slots=True)
class KnnGraph:
    """Each of n samples' k nearest others, best first.

    `index` (n, k) are places in the pool, -1 where there are fewer; `similarity` (n, k) their
    cosines in the joint space, -inf there. `recall` is the share of true neighbours among them,
    1.0 where the search was exact.
    """

    index: Indices
    similarity: Floats
    method: Method
    recall: float

    def __len__(self) -> int:
        """Count the samples."""
        return len(self.index)


def joint_vectors(vectors: SampleVectors, config: GraphConfig) -> Floats:
    """Return unit vectors (n, d) of the weighted, mean-centred parts.

    Each part is centred on its pool mean first: vectors of one encoder share a direction, which
    would make everything alike (Mu and Viswanath 2018, "All-but-the-Top", first step). A part that
    a sample lacks stays zero; a sample without any part is the zero vector.

    A text that the encoder cannot read weighs as much as any other, by its characters, in
    dimensions of its own: it is unrelated to texts that are read, and like others as far as they
    share characters. Two samples on one picture so stay two, in whatever language they ask.

    Raises:
        InputError: vectors that are not finite.
    """
    for part in (vectors.image, vectors.question, vectors.answer):
        check_vectors(part)
    parts = [
        np.float32(weight) * part
        for weight, some in (
            (config.image, [_centred(vectors.image)]),
            (config.question, _text(vectors.question, vectors.question_letters)),
            (config.answer, _text(vectors.answer, vectors.answer_letters)),
        )
        if weight > 0.0
        for part in some
    ]
    return _unit(np.concatenate(parts, axis=1))


def _text(read: Floats, letters: Floats | None) -> list[Floats]:
    """The two parts of a text; characters that all questions share are a direction like any."""
    return [_centred(read)] if letters is None else [_centred(read), _centred(letters)]


def build_graph(
    vectors: SampleVectors,
    config: GraphConfig,
    neighbors: NeighborsConfig,
    run: TileRunner | None = None,
) -> KnnGraph:
    """Find each sample's nearest others in the joint space.

    Exactly up to `neighbors.exact_up_to` samples; past it by FAISS, with the recall measured.

    Raises:
        InputError: vectors that are not finite.
    """
    joint = joint_vectors(vectors, config)
    n = len(joint)
    if not n:
        none = np.empty((0, config.neighbors))
        return KnnGraph(none.astype(np.int64), none.astype(np.float32), "exact", 1.0)
    if n > neighbors.exact_up_to:
        return _approximate(joint, config.neighbors, neighbors)
    found = join(joint, k=config.neighbors, device=neighbors.device, run=neighbors.runner(n, run))
    assert found.neighbours is not None
    assert found.similarities is not None
    return KnnGraph(found.neighbours, found.similarities, "exact", 1.0)


def _approximate(joint: Floats, k: int, neighbors: NeighborsConfig) -> KnnGraph:
    found = approximate_nearest(
        joint,
        k,
        nlist=neighbors.nlist,
        nprobe=neighbors.nprobe,
        seed=neighbors.seed,
        sample=neighbors.recall_sample,
        device=neighbors.device,
    )
    logger.info("neighbours of %d samples searched by cells, recall %.4f", len(joint), found.recall)
    return KnnGraph(found.index, found.similarity, "ivf", found.recall)


def _centred(part: Floats) -> Floats:
    there = np.linalg.norm(part, axis=1) > 1e-6
    if there.sum() < 2:
        return part
    centred = np.zeros_like(part)
    centred[there] = part[there] - part[there].mean(axis=0, dtype=np.float64).astype(np.float32)
    return _unit(centred)


def _unit(vectors: Floats) -> Floats:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    found: Floats = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 1e-6)
    return found
