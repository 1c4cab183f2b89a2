"""Write the manifest of a run from its stages' Parquet, and the report from the manifest."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.current_samples import ROWS_OF_FILE, written_samples
from curation.joins import files_sql, joining, write_rows
from curation.mapped import mapped_texts, mapped_vectors
from curation.recipe import Recipe
from curation.report import write_report
from curation.stage_outputs import Upstream
from curation.stages import STAGES
from curation.stages.stage import FinishedStage, StagesDone
from medsift.arrays import Doubles, Floats
from medsift.manifest import BY_NAME, RunRecord, write_manifest
from medsift.manifest.load import Sorted
from medsift.manifest.schema import arrow_schema
from medsift.manifest.write import VECTOR_ROWS
from medsift.records import IMAGES
from medsift.storage.partial_names import partial_name
from medsift.storage.parts import BATCH_ROWS
from medsift.vocabulary import MANIFEST_NAME

ROWS_AT_A_TIME: Final = 1 << 16
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
    with (
        written_samples(upstream, run_dir, left=upstream.through("images")) as samples,
        written_images(upstream, run_dir) as images,
    ):
        filled = {"samples": Sorted(samples), "images": images, **manifest_tables(done.stages)}
        write_manifest(manifest, filled, run, text_bytes=_longest_texts(upstream))
    write_report(manifest, done.run_id, report)
    return manifest, report


def all_decisions(stages: Sequence[FinishedStage]) -> pa.Table:
    """Return every ledger entry of a run, in the order of its stages."""
    return pa.concat_tables(stage.outputs.decisions.read() for stage in stages)


def manifest_tables(stages: Sequence[FinishedStage]) -> dict[str, Any]:
    """Return the manifest's tables but `samples` and `images`, as Arrow tables or Parquet files.

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
        "decisions": [part for stage in stages for part in stage.outputs.decisions.parts()],
        "stages": pa.Table.from_pylist(rows),
        "operators": pa.Table.from_pylist(timings, schema=arrow_schema("operators")),
    }
    declared = {name for stage in STAGES for name in stage.outputs}
    for name in sorted(declared.intersection(BY_NAME).difference(tables, {"samples", "images"})):
        tables[name] = [
            part
            for outputs in upstream.values()
            if name in outputs.schemas
            for part in getattr(outputs, name).parts()
        ]
    return tables


def _longest_texts(upstream: Upstream) -> int:
    """Return the bytes of the longest texts that the manifest's engine may have at a time."""
    texts = mapped_texts(upstream.ingest)
    sizes = texts.row_bytes(np.arange(len(texts)))
    if len(sizes) > VECTOR_ROWS:
        sizes = np.partition(sizes, -VECTOR_ROWS)[-VECTOR_ROWS:]
    return int(sizes.sum())


@contextmanager
def written_images(upstream: Upstream, folder: Path) -> Iterator[list[Path]]:
    """Write image facts with copy group and place on the map of the pool to a temporary file."""
    columns = [name for name in IMAGES.names if name not in ("thumb", "error", "detail")]
    facts, groups = upstream.images.images.parts(), upstream.dedup.groups.parts()
    written = partial_name(folder / "images")
    if not facts or not groups:
        yield []
        return
    content = mapped_vectors(upstream.images).vectors
    plane = principal_plane(content.matrix)
    listed = ", ".join(f'i."{name}"' for name in columns)
    query = (
        f"SELECT {listed}, g.group_id FROM {files_sql(facts)} i "
        f"LEFT JOIN {files_sql(groups)} g USING (image_id)"
    )

    def placed(batch: pa.RecordBatch) -> pa.Table:
        facts = pa.Table.from_batches([batch])
        rows = content.find(facts["image_id"].combine_chunks(), "images")
        for axis, name in enumerate("xy"):
            facts = facts.append_column(name, pa.array(plane[rows, axis], pa.float32()))
        return facts

    try:
        with joining(written / "join") as db:
            batches = db.sql(query).to_arrow_reader(BATCH_ROWS)
            files = write_rows(map(placed, batches), written / "placed", ROWS_OF_FILE)
        yield files
    finally:
        shutil.rmtree(written, ignore_errors=True)


def principal_plane(vectors: Floats) -> Floats:
    """Return the coordinates (n, 2) of vectors (n, d) on their two principal axes.

    Each axis points to where its largest loading is positive, which fixes the sign that an
    eigenvector leaves open. Fewer than two rows or dimensions give zeros.
    """
    count, dimension = vectors.shape
    if count < 2 or dimension < 2:
        return np.zeros((count, 2), dtype=np.float32)
    mean = vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
    if dimension <= count:
        blocks = range(0, count, ROWS_AT_A_TIME)
        parts = (vectors[start : start + ROWS_AT_A_TIME] - mean for start in blocks)
        plane = _leading(sum(part.T @ part for part in parts))
    else:
        # Fewer rows than dimensions: the matrix of rows by rows is smaller. Where nothing varies
        # along the second axis, QR completes it by any orthogonal one.
        wide = (vectors - mean).astype(np.float64)
        plane = np.linalg.qr(wide.T @ _leading(wide @ wide.T)).Q
    largest = np.abs(plane).argmax(axis=0)
    axes = (plane * np.sign(plane[largest, [0, 1]])).astype(np.float32)
    placed = [
        (vectors[start : start + ROWS_AT_A_TIME] - mean) @ axes
        for start in range(0, count, ROWS_AT_A_TIME)
    ]
    return np.asarray(np.concatenate(placed), np.float32)


def _leading(symmetric: NDArray[np.floating[Any]]) -> Doubles:
    """Return the two eigenvectors (d, 2) of the largest eigenvalues, the largest first."""
    from scipy.linalg import eigh  # type: ignore[import-untyped]

    size = len(symmetric)
    _, axes = eigh(symmetric.astype(np.float64), subset_by_index=(size - 2, size - 1))
    return np.asarray(axes[:, ::-1])
