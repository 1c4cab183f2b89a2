"""Train the selector of the method `ofa` on a finished run, and write its file."""

from __future__ import annotations

from pathlib import Path

from curation.run_dir import open_run
from curation.selection.load_inputs import read_candidates
from curation.selection.ofa import train_on_candidates
from curation.selection.ofa_selector import OfaSelector
from medsift.execution import LocalExecutor


def write_selector(
    run_dir: Path, output: Path, clusters: int | None = None, seed: int | None = None
) -> OfaSelector:
    """Train a selector on the pool of the newest run of a run directory, and keep it in a file.

    Args:
        run_dir: A finished run.
        output: The file (`.npz`); an older one is replaced.
        clusters: Clusters to learn; None is about the square root of the pool's size.
        seed: Of the first centroids; None is the run's.

    Raises:
        UsageError: fewer than two samples, or more clusters than samples.
        ManifestError: no manifest.
        InputError: a folder of the run is gone.
        StorageError: the disk refuses.
    """
    run = open_run(run_dir)
    candidates = read_candidates(run.run_dir, run.upstream, run.recipe, LocalExecutor().run)
    selector = train_on_candidates(candidates, clusters, run.recipe.seed if seed is None else seed)
    selector.save(output)
    return selector
