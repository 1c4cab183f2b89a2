"""Build the pool's nearest-neighbour graph, which scores and selections share, and keep it."""

from __future__ import annotations

import logging
import zipfile
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Final, Literal

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
from curation.pool.pool import ZERO, SampleVectors, unit_rows
from medsift.arrays import Floats, Indices
from medsift.config import Config
from medsift.errors import StorageError
from medsift.records import fingerprint
from medsift.storage.atomic import atomic_file

logger = logging.getLogger(__name__)

LEAST_OF_A_MODALITY: Final = 30
"""Pictured samples below which a modality is centred on the pool's mean: the mean of a few vectors
is mostly their own, and taking it away would take what tells them apart."""


class GraphConfig(Config):
    """Settings of the graph: which vectors make two samples neighbours, and how many there are."""

    neighbors: int = Field(default=32, ge=1, le=1024)
    """Neighbours of each sample."""
    image: float = Field(default=1.0, ge=0.0)
    """Weight of the picture in the joint vector; 0 leaves it out."""
    question: float = Field(default=0.7, ge=0.0)
    """Weight of the question in the joint vector; 0 leaves it out."""
    answer: float = Field(default=0.5, ge=0.0)
    """Weight of the answer in the joint vector; 0 leaves it out."""
    center: Literal["pool", "modality", "none"] = "pool"
    """Mean taken from each part: the pool's; for pictures that of their `modality`, where it has at
    least 30 samples with a picture; or none."""

    @model_validator(mode="after")
    def _some_weight(self) -> GraphConfig:
        if self.image + self.question + self.answer <= 0.0:
            raise ValueError("image, question and answer all weigh 0; give one of them a weight")
        return self


@dataclass(frozen=True, slots=True)
class KnnGraph:
    """Each of n samples' k nearest others, best first.

    `index` (n, k) are rows of the pool, -1 where there are fewer; `similarity` (n, k) their
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

    def nearest(self, k: int) -> KnnGraph:
        """Return the graph of each sample's k nearest others; all of them where it has fewer."""
        return replace(self, index=self.index[:, :k], similarity=self.similarity[:, :k])


def joint_vectors(vectors: SampleVectors, config: GraphConfig) -> Floats:
    """Return unit vectors (n, d) of the weighted parts, each centred as `config.center` says.

    A part that a sample lacks stays zero; a sample without any part is the zero vector.

    A text that the encoder cannot read weighs as much as any other, by its characters, in
    dimensions of its own: it is unrelated to texts that are read, and like others as far as they
    share characters. Two samples on one picture so stay two, in whatever language they ask.

    Raises:
        InputError: vectors that are not finite.
    """
    for part in (vectors.image, vectors.question, vectors.answer):
        check_vectors(part)
    everyone = np.zeros(len(vectors.image), np.int64)
    modality = vectors.modality if config.center == "modality" else None
    weighted = (
        (config.image, vectors.image, everyone if modality is None else modality),
        (config.question, vectors.question, everyone),
        (config.question, vectors.question_letters, everyone),
        (config.answer, vectors.answer, everyone),
        (config.answer, vectors.answer_letters, everyone),
    )
    # Vectors of one encoder share a direction, which would make everything alike (Mu and Viswanath
    # 2018, "All-but-the-Top", first step), and pictures of one modality share another.
    parts = [
        np.float32(weight) * (part if config.center == "none" else _centre(part, group))
        for weight, part, group in weighted
        if weight > 0.0 and part is not None
    ]
    return unit_rows(np.concatenate(parts, axis=1))


def build_graph(
    vectors: SampleVectors,
    config: GraphConfig,
    neighbors: NeighborsConfig,
    run: TileRunner | None = None,
) -> KnnGraph:
    """Find each sample's nearest others in the joint space.

    Exactly up to `neighbors.exact_up_to` samples; past it by FAISS, with the recall measured.

    Args:
        vectors: Vectors of the pool's samples.
        config: Weights of their parts, and how many neighbours each sample has.
        neighbors: How neighbours are searched.
        run: Applies a function to tiles; None is this process.

    Raises:
        InputError: vectors that are not finite.
    """
    joint, k = joint_vectors(vectors, config), config.neighbors
    n = len(joint)
    if not n:
        return KnnGraph(np.empty((0, k), np.int64), np.empty((0, k), np.float32), "exact", 1.0)
    if n <= neighbors.exact_up_to:
        exact = join(joint, k=k, device=neighbors.device, run=neighbors.runner(n, run))
        assert exact.neighbours is not None
        assert exact.similarities is not None
        return KnnGraph(exact.neighbours, exact.similarities, "exact", 1.0)
    found = approximate_nearest(joint, k, neighbors)
    logger.info("neighbours of %d samples searched by cells, recall %.4f", n, found.recall)
    return KnnGraph(found.index, found.similarity, "ivf", found.recall)


def graph_path(run_dir: Path, pool: str, config: GraphConfig) -> Path:
    """Return where a run keeps the graph of the pool that the stage of fingerprint `pool` left."""
    name = fingerprint([pool, config.model_dump(mode="json")])
    return run_dir / "graphs" / f"{name}.npz"


def load_graph(
    path: Path,
    vectors: SampleVectors,
    config: GraphConfig,
    neighbors: NeighborsConfig,
    run: TileRunner | None = None,
) -> KnnGraph:
    """Read the graph of a pool, or build it and keep it.

    Args:
        path: File of the graph (`.npz`); the graph is built where there is none.
        vectors: Vectors of the pool's samples.
        config: Weights of their parts, and how many neighbours each sample has.
        neighbors: How neighbours are searched.
        run: Applies a function to tiles; None is this process.

    Raises:
        InputError: vectors that are not finite.
        StorageError: the disk refuses, or the file is damaged or of another pool.
    """
    if not path.exists():
        graph = build_graph(vectors, config, neighbors, run)
        with atomic_file(path) as partial, partial.open("wb") as file:
            np.savez(file, **{one.name: getattr(graph, one.name) for one in fields(graph)})
        return graph
    try:
        with np.load(path) as arrays:
            method: Method = "exact" if str(arrays["method"]) == "exact" else "ivf"
            index, similarity = arrays["index"], arrays["similarity"]
            graph = KnnGraph(index, similarity, method, float(arrays["recall"]))
        if len(graph) != len(vectors.image):
            raise ValueError(f"it has {len(graph)} samples, the pool has {len(vectors.image)}")
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        message = f"{path} is damaged: {error}; delete it and run again"
        raise StorageError(message, code="graph_damaged", path=str(path)) from error
    return graph


def _centre(part: Floats, group: Indices) -> Floats:
    """Take the mean of its group (n,) from each vector (n, d), and scale the rest to unit length.

    A group of less than `LEAST_OF_A_MODALITY` vectors is centred on the mean of all. Zero vectors,
    of samples that lack the part, count nowhere and stay zero.
    """
    known = np.linalg.norm(part, axis=1) > ZERO
    # A single vector less itself would vanish: it keeps its direction.
    if known.sum() < 2:
        return part
    centred = np.zeros_like(part)
    centred[known] = part[known] - _mean(part[known])
    names, sizes = np.unique(group[known], return_counts=True)
    for name in names[sizes >= LEAST_OF_A_MODALITY] if len(names) > 1 else ():
        members = known & (group == name)
        centred[members] = part[members] - _mean(part[members])
    return unit_rows(centred)


def _mean(vectors: Floats) -> Floats:
    mean: Floats = vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
    return mean
