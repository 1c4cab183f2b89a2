"""A run's graph on disk: made once, read by scoring, selection and later commands."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from curation.neighbors import Method
from curation.pool.graph import GraphConfig, KnnGraph
from medsift.errors import StorageError
from medsift.records import fingerprint
from medsift.storage.atomic import atomic_file


def graph_path(run_dir: Path, pool: str, config: GraphConfig) -> Path:
    """Return where a run keeps the graph of the pool that the stage of fingerprint `pool` left."""
    name = fingerprint([pool, config.model_dump(mode="json")])
    return run_dir / "graphs" / f"{name}.npz"


def stored_graph(path: Path, make: Callable[[], KnnGraph]) -> KnnGraph:
    """Read the graph at `path` (`.npz`), or make it and leave it there, whole.

    Raises:
        StorageError: the disk refuses, or the file is damaged.
    """
    if path.exists():
        return _read(path)
    graph = make()
    with atomic_file(path) as partial, partial.open("wb") as file:
        np.savez(
            file,
            index=graph.index,
            similarity=graph.similarity,
            method=np.array(graph.method),
            recall=np.array(graph.recall),
        )
    return graph


def _read(path: Path) -> KnnGraph:
    try:
        with np.load(path) as arrays:
            method: Method = "exact" if str(arrays["method"]) == "exact" else "ivf"
            return KnnGraph(arrays["index"], arrays["similarity"], method, float(arrays["recall"]))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise StorageError(
            f"{path} is damaged: {error}; delete it and run again",
            code="graph_damaged",
            path=str(path),
        ) from error
