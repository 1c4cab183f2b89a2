"""A planted pool: clusters of samples in a few strata, without a model and without a run."""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from curation.neighbors import NeighborsConfig
from curation.pool import GraphConfig, Pool, SampleVectors, build_graph, stratum_names
from curation.selection.method import Candidates
from medsift import records

STRATA = ("modality", "answer_type")
MODALITIES = ("ct", "mr", "xray", "ultrasound")
CandidatesMaker = Callable[..., Candidates]


@dataclass(frozen=True)
class AsWorkers:
    """Runs items as far-off workers would: function and item pickled, in another order."""

    def run(self, function: Callable[[Any], Any], items: Sequence[Any]) -> Iterable[Any]:
        sent = [(place, pickle.dumps((function, item))) for place, item in enumerate(items)]
        random.Random(3).shuffle(sent)
        done = {}
        for place, data in sent:
            there, item = pickle.loads(data)
            done[place] = there(item)
        return [done[place] for place in range(len(items))]

    def stream(self, *arguments: Any) -> None:
        raise AssertionError("selection streams nothing")


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def planted_vectors(n: int, seed: int, clusters: int = 12, width: int = 24) -> np.ndarray:
    rng = np.random.default_rng(seed)
    center = rng.standard_normal((clusters, width))
    spread = 0.2 + rng.random((n, 1))
    return unit(center[rng.integers(0, clusters, n)] + spread * rng.standard_normal((n, width)))


def planted_samples(n: int, seed: int) -> pa.Table:
    """Samples of very unequal strata: half of them are of the first modality, few of the last."""
    rng = np.random.default_rng(seed)
    modality = rng.choice(MODALITIES, n, p=[0.5, 0.3, 0.17, 0.03])
    closed = rng.random(n) < 0.4
    lines = [
        {
            "sample_id": records.digest(str(seed), str(row)),
            "row_id": f"s:f:{row}",
            "source": "s",
            "modality": str(modality[row]),
            "answer_type": "closed" if closed[row] else "open",
            "question": f"question {row}?",
            "answer": "x" * int(rng.integers(1, 60)),
            "messages": [
                {"role": "user", "content": f"question {row}?"},
                {"role": "assistant", "content": "x" * int(rng.integers(1, 60))},
            ],
            "images": [f"image {row}"],
        }
        for row in range(n)
    ]
    return pa.Table.from_pylist(sorted(lines, key=lambda line: line["sample_id"]), records.SAMPLES)


@pytest.fixture(scope="session")
def make_candidates() -> CandidatesMaker:
    """Candidates of n samples; each represents one to four input rows."""

    def make(n: int = 200, seed: int = 0, neighbors: int = 8, **config: Any) -> Candidates:
        rng = np.random.default_rng(seed)
        samples = planted_samples(n, seed)
        # Vectors go by sample id, so that no order of rows moves them.
        parts = [planted_vectors(n, seed + place) for place in (1, 2, 3)]
        graph = GraphConfig(neighbors=neighbors)
        pool = Pool(
            samples=samples,
            images=records.IMAGES.empty_table(),
            vectors=SampleVectors(*parts, shared_space=False),
            mass=rng.integers(1, 5, n).astype(np.float64),
            strata=stratum_names(samples, STRATA),
        )
        found = build_graph(pool.vectors, graph, NeighborsConfig())
        return Candidates(pool, found, graph, NeighborsConfig(**config))

    return make


@pytest.fixture(scope="session")
def candidates(make_candidates: CandidatesMaker) -> Candidates:
    """Two hundred of them."""
    return make_candidates()


def dense(similarities: Any) -> np.ndarray:
    """Similarities (n, n) as whole numbers."""
    return similarities.matrix.toarray().astype(np.int64)
