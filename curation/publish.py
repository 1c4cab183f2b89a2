"""Write the manifest of a run from its stages' Parquet, and the report from the manifest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.current_samples import written_samples
from curation.recipe import Recipe
from curation.report import write_report
from curation.stage_outputs import Upstream
from curation.stages import STAGES
from curation.stages.stage import FinishedStage, StagesDone
from medsift.arrays import Doubles, Floats
from medsift.manifest import BY_NAME, RunRecord, write_manifest
from medsift.manifest.schema import arrow_schema
from medsift.vocabulary import MANIFEST_NAME

REPORT_NAME: Final = "report.html"
PACKAGES: Final = (
    "medsift",
    "ray",
    "torch",
    "transformers",
    "open-clip-torch",
    "duckdb",
    "pyarrow",
    "numpy",
    "pillow",
    "rensa",
)


def publish(
    recipe: Recipe, run_dir: Path, done: StagesDone, started: datetime
) -> tuple[Path, Path]:
    """Write the manifest and the report of finished stages; return their paths.

    The caller keeps the run directory locked (`medsift.storage.run_lock`), as `curate` does.

    Args:
        recipe: The recipe of the run.
        run_dir: The folder of both files.
        done: The stages, as `run_stages` returns them.
        started: The time when the run began, for the manifest.

    Raises:
        StorageError: the disk refuses.
        ManifestError: the manifest that is there is of another layout.
    """
    manifest, report = run_dir / MANIFEST_NAME, run_dir / REPORT_NAME
    run = RunRecord(
        run_id=done.run_id,
        name=recipe.name,
        created_at=started,
        finished_at=datetime.now(UTC),
        status="balanced" if done.problem is None else "failed",
        recipe=recipe.resolved(),
        recipe_fingerprint=recipe.fingerprint(),
        input_fingerprint=done.stages[0].fingerprint,
        code_version=metadata.version("medsift"),
        packages={name: metadata.version(name) for name in PACKAGES},
        seed=recipe.seed,
    )
    upstream = done.upstream
    # Every row that became a sample is listed with its tags, also if a later stage dropped it.
    with written_samples(upstream, run_dir, left=upstream.through("images")) as samples:
        write_manifest(manifest, {"samples": samples, **manifest_tables(done.stages)}, run)
    write_report(manifest, done.run_id, report)
    return manifest, report


def all_decisions(stages: Sequence[FinishedStage]) -> pa.Table:
    """Return every ledger entry of a run, in the order of its stages."""
    return pa.concat_tables(stage.outputs.decisions.read() for stage in stages)


def manifest_tables(stages: Sequence[FinishedStage]) -> dict[str, Any]:
    """Return the manifest's tables but `samples`, as Arrow tables or Parquet files.

    A table of a stage fills the manifest's table of the same name; several stages may fill one.
    """
    upstream = Upstream([stage.outputs for stage in stages])
    timings = [{"stage": stage.stage, **asdict(op)} for stage in stages for op in stage.operators]
    rows = [
        {
            "ordinal": ordinal,
            **asdict(stage.balance),
            "seconds": stage.seconds,
            "reused": stage.reused,
            "fingerprint": stage.fingerprint,
        }
        for ordinal, stage in enumerate(stages)
    ]
    tables: dict[str, Any] = {
        "images": _images(upstream),
        "decisions": all_decisions(stages),
        "stages": pa.Table.from_pylist(rows),
        "operators": pa.Table.from_pylist(timings, schema=arrow_schema("operators")),
    }
    declared = {name for stage in STAGES for name in stage.outputs}
    for name in sorted(declared.intersection(BY_NAME).difference(tables, {"samples"})):
        tables[name] = [
            part
            for outputs in upstream.values()
            if name in outputs.schemas
            for part in getattr(outputs, name).parts()
        ]
    return tables


def _images(upstream: Upstream) -> pa.Table:
    """Return image facts with the copy group and the coordinates on the map of the pool."""
    facts = upstream.images.images.read().drop_columns(["thumb", "error", "detail"])
    ids = facts["image_id"].to_pylist()
    groups = upstream.dedup.groups.read(["image_id", "group_id"])
    group = dict(zip(groups["image_id"].to_pylist(), groups["group_id"].to_pylist(), strict=True))
    facts = facts.append_column("group_id", pa.array([group[image] for image in ids], pa.string()))
    content = upstream.images.vectors.read_vectors()
    plane = principal_plane(np.asarray(content.matrix))
    for axis, name in enumerate("xy"):
        position = dict(zip(content.ids, plane[:, axis].tolist(), strict=True))
        values = pa.array([position[image] for image in ids], pa.float32())
        facts = facts.append_column(name, values)
    return facts


def principal_plane(vectors: Floats) -> Floats:
    """Return the coordinates (n, 2) of vectors (n, d) on their two principal axes.

    Each axis points to where its largest loading is positive, which fixes the sign that an
    eigenvector leaves open. Fewer than two rows or dimensions give zeros.
    """
    count, dimension = vectors.shape
    if count < 2 or dimension < 2:
        return np.zeros((count, 2), dtype=np.float32)
    centred = vectors - vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
    if dimension <= count:
        plane = _leading(centred.T @ centred)
    else:
        # Fewer rows than dimensions: the matrix of rows by rows is smaller. Where nothing varies
        # along the second axis, QR completes it by any orthogonal one.
        wide = centred.astype(np.float64)
        plane = np.linalg.qr(wide.T @ _leading(wide @ wide.T)).Q
    largest = np.abs(plane).argmax(axis=0)
    plane = plane * np.sign(plane[largest, [0, 1]])
    return np.asarray(centred @ plane.astype(np.float32), np.float32)


def _leading(symmetric: NDArray[np.floating[Any]]) -> Doubles:
    """Return the two eigenvectors (d, 2) of the largest eigenvalues, the largest first."""
    from scipy.linalg import eigh  # type: ignore[import-untyped]

    size = len(symmetric)
    _, axes = eigh(symmetric.astype(np.float64), subset_by_index=(size - 2, size - 1))
    return np.asarray(axes[:, ::-1])
