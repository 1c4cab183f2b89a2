"""Build the pool's nearest-neighbour graph, which scores and selections share, and keep it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal
from zlib import crc32

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from curation.neighbors import (
    Method,
    NeighborsConfig,
    Runner,
    approximate_nearest,
    check_vectors,
    join,
)
from curation.pool.pool import ROWS_AT_A_TIME, ZERO, SampleVectors, unit_rows
from medsift.arrays import Flags, Floats, Indices, Narrow
from medsift.config import Config
from medsift.errors import StorageError
from medsift.records import Digest, fingerprint
from medsift.storage.atomic import atomic_file
from medsift.storage.mirror import exists, fetch
from medsift.storage.scratch import scratch_zeros

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
    1.0 where the search was exact. A large graph is mapped from a file.
    """

    index: Narrow
    similarity: Floats
    method: Method
    recall: float

    def __len__(self) -> int:
        """Count the samples."""
        return len(self.index)

    def nearest(self, k: int) -> KnnGraph:
        """Return the graph of each sample's k nearest others; all of them where it has fewer."""
        return replace(self, index=self.index[:, :k], similarity=self.similarity[:, :k])

    def only(self, rows: Indices) -> KnnGraph:
        """Return the graph of some samples (m), given by their places: neighbours among them.

        A sample whose neighbours are not among them has fewer.
        """
        place = np.full(len(self) + 1, -1, self.index.dtype)
        # The last place is that of the index -1.
        place[rows] = np.arange(len(rows))
        index = place[self.index[rows]]
        order = np.argsort(index < 0, axis=1, kind="stable")
        index = np.take_along_axis(index, order, axis=1)
        similarity = np.take_along_axis(self.similarity[rows], order, axis=1)
        similarity = np.where(index < 0, np.float32(-np.inf), similarity)
        return replace(self, index=index, similarity=similarity)

    def blocks(self) -> Iterator[slice]:
        """Yield the rows, some at a time."""
        return _blocks(len(self))

    def digest(self) -> str:
        """Return the digest of the neighbours, as 64-bit numbers, and of their similarities."""
        whole = Digest()
        whole.add_pieces(
            8 * self.index.size,
            (self.index[rows].astype(np.int64).tobytes() for rows in self.blocks()),
        )
        whole.add_pieces(
            4 * self.similarity.size, (self.similarity[rows].tobytes() for rows in self.blocks())
        )
        return whole.hexdigest()


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
        (np.float32(weight), part, None if config.center == "none" else _means(part, group))
        for weight, part, group in weighted
        if weight > 0.0 and part is not None
    ]
    width = sum(part.shape[1] for _, part, _ in parts)
    joint = scratch_zeros((len(everyone), width), np.float32, vectors.scratch)
    for rows in _blocks(len(everyone)):
        columns = [
            weight * (part[rows] if mean is None else mean.taken_from(part, rows))
            for weight, part, mean in parts
        ]
        joint[rows] = unit_rows(np.concatenate(columns, axis=1))
    return joint


def build_graph(
    vectors: SampleVectors,
    config: GraphConfig,
    neighbors: NeighborsConfig,
    run: Runner | None = None,
) -> KnnGraph:
    """Find each sample's nearest others in the joint space.

    Exactly up to `neighbors.exact_up_to` samples; past it by FAISS, with the recall measured.

    Args:
        vectors: Vectors of the pool's samples.
        config: Weights of their parts, and how many neighbours each sample has.
        neighbors: How neighbours are searched.
        run: Applies a function to parts of the work; None is this process.

    Raises:
        InputError: vectors that are not finite.
    """
    joint, k = joint_vectors(vectors, config), config.neighbors
    n = len(joint)
    if not n:
        return KnnGraph(np.empty((0, k), np.int32), np.empty((0, k), np.float32), "exact", 1.0)
    runner, scratch = neighbors.runner(n, run), vectors.scratch
    if n <= neighbors.exact_up_to:
        exact = join(joint, k=k, device=neighbors.device, run=runner, scratch=scratch)
        assert exact.neighbours is not None
        assert exact.similarities is not None
        return KnnGraph(exact.neighbours, exact.similarities, "exact", 1.0)
    found = approximate_nearest(joint, k, neighbors, scratch, runner)
    logger.info("neighbours of %d samples searched by cells, recall %.4f", n, found.recall)
    return KnnGraph(found.index, found.similarity, "ivf", found.recall)


def graph_path(run_dir: Path, pool: str, config: GraphConfig) -> Path:
    """Return where a run keeps the graph of the pool that the stage of fingerprint `pool` left."""
    name = fingerprint([pool, config.model_dump(mode="json")])
    return run_dir / "graphs" / f"{name}.arrow"


def load_graph(
    path: Path,
    vectors: SampleVectors,
    config: GraphConfig,
    neighbors: NeighborsConfig,
    run: Runner | None = None,
) -> KnnGraph:
    """Read the graph of a pool, or build it and keep it.

    Args:
        path: File of the graph (`.arrow`); the graph is built where there is none.
        vectors: Vectors of the pool's samples.
        config: Weights of their parts, and how many neighbours each sample has.
        neighbors: How neighbours are searched.
        run: Applies a function to parts of the work; None is this process.

    Raises:
        InputError: vectors that are not finite.
        StorageError: the disk refuses, or the file is damaged or of another pool.
    """
    if not exists(path):
        graph = build_graph(vectors, config, neighbors, run)
        with atomic_file(path) as partial:
            _write(graph, partial)
        return graph
    try:
        graph = _read(fetch(path))
        if len(graph) != len(vectors.image):
            raise ValueError(f"it has {len(graph)} samples, the pool has {len(vectors.image)}")
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        message = f"{path} is damaged: {error}; delete it and run again"
        raise StorageError(message, code="graph_damaged", path=str(path)) from error
    return graph


def _write(graph: KnnGraph, path: Path) -> None:
    """Write a graph as one batch of an Arrow file, straight from its arrays."""
    columns = [
        pa.FixedSizeListArray.from_arrays(
            pa.array(np.ascontiguousarray(part).reshape(-1)), part.shape[1]
        )
        for part in (graph.index, graph.similarity)
    ]
    found = {
        "method": graph.method,
        "recall": repr(graph.recall),
        # Arrow's files have no checksum of their own.
        "checksum": _checksum(graph),
    }
    batch = pa.record_batch(columns, names=["index", "similarity"]).replace_schema_metadata(found)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, batch.schema) as writer:
        writer.write_batch(batch)


def _read(path: Path) -> KnnGraph:
    """Map a graph from its file."""
    with pa.memory_map(str(path)) as file:
        batch = pa.ipc.open_file(file).get_batch(0)
    found = batch.schema.metadata
    index, similarity = (
        batch[name].flatten().to_numpy().reshape(len(batch), batch[name].type.list_size)
        for name in ("index", "similarity")
    )
    method: Method = "exact" if found[b"method"] == b"exact" else "ivf"
    graph = KnnGraph(index, similarity, method, float(found[b"recall"]))
    if found[b"checksum"].decode() != _checksum(graph):
        raise ValueError("its checksum is wrong")
    return graph


def _checksum(graph: KnnGraph) -> str:
    checksum = 0
    for part in (graph.index, graph.similarity):
        for rows in graph.blocks():
            checksum = crc32(part[rows].tobytes(), checksum)
    return f"{checksum:08x}"


@dataclass(frozen=True, slots=True)
class _Means:
    """The means (g, d) of groups of vectors, and which of them each vector (n,) is centred on."""

    mean: Floats
    group: Indices

    def taken_from(self, part: Floats, rows: slice) -> Floats:
        """Take its group's mean from each of some vectors, and scale the rest to unit length.

        Zero vectors, of samples that lack the part, stay zero.
        """
        block = part[rows]
        known = np.linalg.norm(block, axis=1) > ZERO
        centred = np.zeros_like(block)
        centred[known] = block[known] - self.mean[self.group[rows][known]]
        return unit_rows(centred)


def _means(part: Floats, group: Indices) -> _Means | None:
    """Return the mean of each group (n,) of vectors (n, d), and of all as that of small groups.

    A group of less than `LEAST_OF_A_MODALITY` vectors is centred on the mean of all. Zero vectors
    count nowhere. None where there is nothing to take away.
    """
    none = np.empty(0, bool)
    norms = [np.linalg.norm(part[rows], axis=1) > ZERO for rows in _blocks(len(part))]
    known = np.concatenate([none, *norms])
    # A single vector less itself would vanish: it keeps its direction.
    if known.sum() < 2:
        return None
    means, of_group = [_mean(part, known)], np.zeros(len(part), np.int64)
    names, sizes = np.unique(group[known], return_counts=True)
    for name in names[sizes >= LEAST_OF_A_MODALITY] if len(names) > 1 else ():
        of_group[group == name] = len(means)
        means.append(_mean(part, known & (group == name)))
    return _Means(np.stack(means), of_group)


def _mean(vectors: Floats, chosen: Flags) -> Floats:
    """Return the mean of the chosen vectors, summed one after the other in float64."""
    total = np.zeros((1, vectors.shape[1]))
    for rows in _blocks(len(vectors)):
        block = vectors[rows][chosen[rows]].astype(np.float64)
        total = np.concatenate([total, block]).sum(axis=0, keepdims=True)
    mean: Floats = (total[0] / chosen.sum()).astype(np.float32)
    return mean


def _blocks(count: int) -> Iterator[slice]:
    for start in range(0, count, ROWS_AT_A_TIME):
        yield slice(start, start + ROWS_AT_A_TIME)
