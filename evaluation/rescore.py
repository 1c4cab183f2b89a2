"""Stored predictions scored again: no model, no benchmark, no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import ValidationError

from evaluation.manifest_io import find_evaluation, known_evaluations, read_evaluation
from evaluation.metrics_table import summarise
from evaluation.records import SCORES
from evaluation.scoring.predictions import score_predictions
from evaluation.statistics import FACETS, Resampling
from medsift.errors import ManifestError


@dataclass(frozen=True, slots=True)
class Rescored:
    """An evaluation under a protocol: what `medsift evaluate` would have stored."""

    run_id: str
    evaluation_id: str
    predictions: pa.Table
    metrics: pa.Table
    reliability: pa.Table
    lines: pa.Table

    @property
    def tables(self) -> dict[str, pa.Table]:
        """The manifest's tables by name."""
        return {
            "evaluations": self.lines,
            "predictions": self.predictions,
            "metrics": self.metrics,
            "reliability": self.reliability,
        }


def rescore(manifest: Path, wanted: str | None = None, protocol: str | None = None) -> Rescored:
    """Score the stored replies of an evaluation; under the protocol they had when None.

    A judge's columns stay as they are. Raises ManifestError where there is no such evaluation,
    UsageError or InputError as scoring does.
    """
    return _score_again(manifest, find_evaluation(manifest, wanted), protocol)


def rescore_all(manifest: Path, protocol: str | None = None) -> list[Rescored]:
    """As `rescore`, of every evaluation that the newest run holds."""
    known = known_evaluations(manifest)
    if not known:
        raise ManifestError(
            f"{manifest} has no evaluation; make one with `medsift evaluate`",
            code="evaluation_unknown",
            known=[],
        )
    newest = [line for line in known if line["run_id"] == known[0]["run_id"]]
    return [_score_again(manifest, line, protocol) for line in newest]


def _score_again(manifest: Path, found: Mapping[str, Any], protocol: str | None) -> Rescored:
    place = (manifest, found["run_id"], found["evaluation_id"])
    lines = read_evaluation(*place, "evaluations")
    stored = read_evaluation(*place, "predictions")
    if not stored.num_rows:
        raise ManifestError(
            f"{manifest} holds no predictions of {found['evaluation_id']}",
            code="evaluation_unknown",
        )
    chosen = protocol or lines["protocol"][0].as_py()
    kept = stored.select([name for name in stored.column_names if name not in SCORES.names])
    scored = score_predictions(kept, chosen)
    facets, resampling = _settings(lines["settings"][0].as_py())
    metrics, reliability = summarise(scored, facets, resampling)
    at = lines.column_names.index("protocol")
    lines = lines.set_column(at, "protocol", pa.array([chosen] * lines.num_rows, pa.string()))
    return Rescored(found["run_id"], found["evaluation_id"], scored, metrics, reliability, lines)


def _settings(stored: str | None) -> tuple[tuple[str, ...], Resampling]:
    """Facets and draws as the evaluation had them. Raises ManifestError."""
    try:
        told = json.loads(stored or "{}")
        facets = tuple(told.get("facets", FACETS))
        return facets, Resampling.model_validate(told.get("resampling", {}))
    except (ValueError, ValidationError) as error:
        raise ManifestError(
            f"the settings of the evaluation are not valid: {error}", code="recipe_of_other_version"
        ) from error
