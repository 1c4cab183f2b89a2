"""The end of a run: its stages' Parquet becomes a manifest, and the manifest a page."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from curation.projection import principal_plane
from curation.recipe import Recipe
from curation.report import write_report
from curation.stages.split import with_splits
from curation.stages.stage import FinishedStage
from medsift import records
from medsift.manifest import RunRecord, write_manifest
from medsift.storage.parts import parts, read_folder, read_part
from medsift.storage.vectors import read_vectors
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
LATE: Final = {
    "score": ("scores", "combinations", "correlations"),
    "select": ("selections", "selection_settings", "curves"),
}
"""Tables of stages that a run which waits for a person does not reach."""


def publish(
    recipe: Recipe,
    run_dir: Path,
    run_id: str,
    stages: Sequence[FinishedStage],
    started: datetime,
    balanced: bool,
) -> tuple[Path, Path]:
    """Write the manifest and the report into the run directory; return their paths."""
    manifest, report = run_dir / MANIFEST_NAME, run_dir / REPORT_NAME
    run = RunRecord(
        run_id=run_id,
        name=recipe.name,
        created_at=started,
        finished_at=datetime.now(UTC),
        status="balanced" if balanced else "failed",
        recipe=recipe.resolved(),
        recipe_fingerprint=recipe.fingerprint(),
        input_fingerprint=stages[0].fingerprint,
        code_version=metadata.version("medsift"),
        packages={name: metadata.version(name) for name in PACKAGES},
        seed=recipe.seed,
    )
    write_manifest(manifest, manifest_tables(stages), run)
    write_report(manifest, run_id, report)
    return manifest, report


def decided(stages: Sequence[FinishedStage]) -> pa.Table:
    """Every ledger entry of a run, in the order of its stages."""
    return pa.concat_tables(
        read_folder(stage.folder / "decisions", records.DECISIONS) for stage in stages
    )


def manifest_tables(stages: Sequence[FinishedStage]) -> dict[str, Any]:
    """Tables of the manifest, as Arrow tables or Parquet files, without `run_id`."""
    folder = {stage.stage: stage.folder for stage in stages}
    tables: dict[str, Any] = {
        "rows": parts(folder["ingest"] / "rows"),
        "samples": _samples(folder["images"] / "samples", folder["split"] / "assigned"),
        "images": _images(folder["images"], folder["dedup"]),
        "decisions": decided(stages),
        "stages": _stages(stages),
        "operators": _operators(stages),
    }
    for name in ("clusters", "conflicts_found", "sweep"):
        tables[name] = parts(folder["dedup"] / name.removesuffix("_found"))
    measuring = ("ingest", "embed", "dedup", "split")
    tables["measures"] = [part for stage in measuring for part in parts(folder[stage] / "measures")]
    leaking = ("split", "decontaminate")
    tables["leaks_found"] = [part for stage in leaking for part in parts(folder[stage] / "leaks")]
    tables["reviews"] = parts(folder["decontaminate"] / "reviews")
    for stage, names in LATE.items():
        for name in names:
            tables[name] = parts(folder[stage] / name) if stage in folder else []
    return tables


def _samples(samples: Path, assigned: Path) -> pa.Table | list[Path]:
    """Every valid row; where splits were assigned, those that survived have their new one."""
    if not parts(assigned):
        return parts(samples)
    lines = pa.concat_tables(read_part(part) for part in parts(assigned)).to_pylist()
    new = {line["row_id"]: line["split"] for line in lines}
    table = read_folder(samples, records.SAMPLES)
    given = zip(table["row_id"].to_pylist(), table["split"].to_pylist(), strict=True)
    return with_splits(table, [new.get(row, split) for row, split in given])


def _images(images: Path, dedup: Path) -> pa.Table:
    """Image facts with the copy group and the place on the map."""
    facts = read_folder(images / "images", records.IMAGES).drop_columns(
        ["thumb", "error", "detail"]
    )
    groups = dict(
        line.values() for line in read_part(dedup / "groups", ["image_id", "group_id"]).to_pylist()
    )
    places = _map(images / "vectors")
    ids = facts["image_id"].to_pylist()
    here = [places[image] for image in ids]
    facts = facts.append_column("group_id", pa.array([groups[image] for image in ids], pa.string()))
    facts = facts.append_column("x", pa.array([x for x, _ in here], pa.float32()))
    return facts.append_column("y", pa.array([y for _, y in here], pa.float32()))


def _map(vectors: Path) -> dict[str, tuple[float, float]]:
    """Image id → coordinates on the two principal axes of all image vectors."""
    content = read_vectors(vectors)
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
    schema = pa.schema(
        [
            ("stage", pa.string()),
            ("operator", pa.string()),
            ("seconds", pa.float64()),
            ("rows", pa.int64()),
        ]
    )
    lines = [
        {"stage": stage.stage, "operator": op.operator, "seconds": op.seconds, "rows": op.rows}
        for stage in stages
        for op in stage.operators
    ]
    return pa.Table.from_pylist(lines, schema=schema)
