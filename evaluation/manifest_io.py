"""Find the run that evaluations are added to, and a stored evaluation by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import pyarrow as pa

from medsift import records
from medsift.errors import ManifestError
from medsift.manifest import RunRecord, write_manifest
from medsift.manifest.evaluation_queries import known_evaluations, run_ids
from medsift.storage.pointer import refresh


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationTables:
    """One scored evaluation as the manifest stores it."""

    evaluation_id: str
    predictions: pa.Table
    metrics: pa.Table
    reliability: pa.Table
    evaluations: pa.Table

    @property
    def tables(self) -> dict[str, pa.Table]:
        """The manifest's tables by name."""
        names = ("evaluations", "predictions", "metrics", "reliability")
        return {name: getattr(self, name) for name in names}


def ensure_run(manifest: Path, name: str) -> str:
    """Return the id of a manifest's newest run; where there is none, begin a run called `name`.

    Raises ManifestError for a manifest that cannot be read, StorageError when the disk refuses.
    """
    refresh(manifest)
    if manifest.exists():
        runs = run_ids(manifest)
        if not runs:
            raise ManifestError(
                f"{manifest} holds no run; name another run directory",
                code="run_unknown",
                path=str(manifest),
            )
        return runs[0]
    now = datetime.now(UTC)
    run_id = records.digest("evaluation", name)[:12]
    record = RunRecord(
        run_id=run_id,
        name=name,
        created_at=now,
        finished_at=now,
        code_version=metadata.version("medsift"),
    )
    write_manifest(manifest, {}, record)
    return run_id


def find_evaluation(manifest: Path, wanted: str | None) -> Mapping[str, Any]:
    """Return run_id, evaluation_id and model of a named evaluation; of the only one when None.

    A name is an evaluation's id or the beginning of it, or a model's; of several the newest.
    Raises ManifestError where there is none, or None is not enough.
    """
    known = known_evaluations(manifest)
    matches = [
        row
        for row in known
        if wanted is None or wanted == row["model"] or str(row["evaluation_id"]).startswith(wanted)
    ]
    if len(matches) == 1 or (matches and wanted is not None):
        return matches[0]
    ids = [str(row["evaluation_id"]) for row in known]
    names = ", ".join(ids) or "none"
    if matches:
        message = f"{manifest} has several evaluations: name one of {names}"
    else:
        message = f"{manifest} has no evaluation {wanted!r}; it has {names}"
    raise ManifestError(message, code="evaluation_unknown", evaluation=wanted, known=ids)
