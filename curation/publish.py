"""The end of a run: its stages' Parquet becomes a manifest, and the manifest a page."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from curation.current_samples import WrittenSamples
from curation.projection import principal_plane
from curation.recipe import Recipe
from curation.report import write_report
from curation.stage_outputs import Upstream
from curation.stages import STAGES
from curation.stages.stage import FinishedStage, StagesDone
from medsift.manifest import BY_NAME, RunRecord, write_manifest
from medsift.manifest.schema import arrow_schema
from medsift.storage.vectors import ContentVectors
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
        recipe: What the stages carried out.
        run_dir: Where both files go.
        done: The stages, as `run_stages` returns them.
        started: When the run began; the manifest keeps it.

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
    # Every row that became a sample is listed with its tags, whatever later stages made of it.
    with WrittenSamples(upstream, run_dir, left=upstream.through("images")) as samples:
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
    tables: dict[str, Any] = {
        "images": _images(upstream),
        "decisions": all_decisions(stages),
        "stages": _stages(stages),
        "operators": _operators(stages),
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
    """Return image facts with the copy group and the place on the map."""
    facts = upstream.images.images.read().drop_columns(["thumb", "error", "detail"])
    lines = upstream.dedup.groups.read(["image_id", "group_id"]).to_pylist()
    groups = {line["image_id"]: line["group_id"] for line in lines}
    places = _map(upstream.images.vectors.read_vectors())
    ids = facts["image_id"].to_pylist()
    points = [places[image] for image in ids]
    facts = facts.append_column("group_id", pa.array([groups[image] for image in ids], pa.string()))
    facts = facts.append_column("x", pa.array([x for x, _ in points], pa.float32()))
    return facts.append_column("y", pa.array([y for _, y in points], pa.float32()))


def _map(content: ContentVectors) -> dict[str, tuple[float, float]]:
    """Return image id → coordinates on the two principal axes of all image vectors."""
    plane = principal_plane(np.asarray(content.matrix))
    return {image: (float(x), float(y)) for image, (x, y) in zip(content.ids, plane, strict=True)}


def _stages(stages: Sequence[FinishedStage]) -> pa.Table:
    lines = [
        {
            "ordinal": ordinal,
            "stage": stage.stage,
            "rows_in": stage.balance.rows_in,
            "kept": stage.balance.kept,
            "dropped": stage.balance.dropped,
            "failed": stage.balance.failed,
            "seconds": stage.seconds,
            "reused": stage.reused,
            "fingerprint": stage.fingerprint,
        }
        for ordinal, stage in enumerate(stages)
    ]
    return pa.Table.from_pylist(lines)


def _operators(stages: Sequence[FinishedStage]) -> pa.Table:
    lines = [
        {"stage": stage.stage, "operator": op.operator, "seconds": op.seconds, "rows": op.rows}
        for stage in stages
        for op in stage.operators
    ]
    return pa.Table.from_pylist(lines, schema=arrow_schema("operators"))
