"""Score stored predictions again, without a model or a benchmark."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import ValidationError

from evaluation.manifest_io import EvaluationTables, find_evaluation
from evaluation.metrics_table import summarise
from evaluation.records import SCORES
from evaluation.scoring.predictions import score_predictions
from medsift.errors import ManifestError
from medsift.manifest.evaluation_queries import known_evaluations, read_evaluation
from medsift.statistics import FACETS, Resampling


@dataclass(frozen=True, slots=True, kw_only=True)
class Rescored(EvaluationTables):
    """A stored evaluation under a protocol: the tables that `medsift evaluate` would have made."""

    run_id: str


def rescore(
    manifest: Path, wanted: str | None = None, protocol: str | None = None
) -> list[Rescored]:
    """Score the stored replies of an evaluation; of all of the newest run when None is named.

    They keep their protocol when None is given, and a judge's columns stay as they are. Raises
    ManifestError where there is no such evaluation, UsageError or InputError as scoring does.
    """
    if wanted is not None:
        return [_score_again(manifest, find_evaluation(manifest, wanted), protocol)]
    known = known_evaluations(manifest)
    if not known:
        raise ManifestError(
            f"{manifest} has no evaluation; make one with `medsift evaluate`",
            code="evaluation_unknown",
            known=[],
        )
    newest = [row for row in known if row["run_id"] == known[0]["run_id"]]
    return [_score_again(manifest, row, protocol) for row in newest]


def _score_again(manifest: Path, named: Mapping[str, Any], protocol: str | None) -> Rescored:
    ids = named["run_id"], named["evaluation_id"]
    evaluations = read_evaluation(manifest, *ids, "evaluations")
    stored = read_evaluation(manifest, *ids, "predictions")
    if not stored.num_rows:
        raise ManifestError(
            f"{manifest} holds no predictions of {named['evaluation_id']}",
            code="evaluation_unknown",
            evaluation=named["evaluation_id"],
        )
    protocol = protocol or evaluations["protocol"][0].as_py()
    unscored = stored.select([name for name in stored.column_names if name not in SCORES.names])
    scored = score_predictions(unscored, protocol)
    try:
        settings = json.loads(evaluations["settings"][0].as_py() or "{}")
        facets = tuple(settings.get("facets", FACETS))
        resampling = Resampling.model_validate(settings.get("resampling", {}))
    except (ValueError, ValidationError) as error:
        raise ManifestError(
            f"the settings of the evaluation are not valid: {error}", code="recipe_of_other_version"
        ) from error
    metrics, reliability = summarise(scored, facets, resampling)
    column = pa.array([protocol] * evaluations.num_rows, pa.string())
    place = evaluations.column_names.index("protocol")
    return Rescored(
        run_id=named["run_id"],
        evaluation_id=named["evaluation_id"],
        predictions=scored,
        metrics=metrics,
        reliability=reliability,
        evaluations=evaluations.set_column(place, "protocol", column),
    )
