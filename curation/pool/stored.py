"""A run's graph on disk: made once, read by scoring, selection and later commands."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from curation.errors import StorageError
from curation.neighbors import Method
from curation.pool.graph import GraphConfig, KnnGraph
from curation.records import fingerprint


def graph_path(run_dir: Path, pool: str, config: GraphConfig) -> Path:
    """Where a run keeps the graph of the pool in the stage folder of name `pool`."""
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
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            np.savez(
                file,
                index=graph.index,
                similarity=graph.similarity,
                method=np.array(graph.method),
                recall=np.array(graph.recall),
            )
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise StorageError(
            f"cannot write {path}: {error}; free some space or choose another --run-dir"
        ) from error
    return graph


def _read(path: Path) -> KnnGraph:
    try:
        with np.load(path) as held:
            method: Method = "exact" if str(held["method"]) == "exact" else "ivf"
            return KnnGraph(held["index"], held["similarity"], method, float(held["recall"]))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise StorageError(f"{path} is damaged: {error}; delete it and run again") from error
