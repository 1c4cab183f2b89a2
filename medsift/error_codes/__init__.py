"""List every error code, by topic; docs/errors.md is generated from here."""

from __future__ import annotations

from typing import Final

from medsift.error_codes import (
    cluster,
    construct,
    data,
    evaluation,
    manifest,
    matching,
    models,
    recipe,
    runs,
    selection,
    storage,
    training,
)
from medsift.error_codes.code import ErrorCode

TOPICS: Final[dict[str, dict[str, ErrorCode]]] = {
    "Recipes, settings and commands": recipe.CODES,
    "Runs, stages, row filters and the Python API": runs.CODES,
    "Sources, pictures, exports and phantoms": data.CODES,
    "Models and encoders": models.CODES,
    "Duplicates, neighbours, splits and benchmark leaks": matching.CODES,
    "Scores and selections": selection.CODES,
    "Fine-tuning": training.CODES,
    "Constructions of reasoning": construct.CODES,
    "Benchmarks, replies, statistics and studies": evaluation.CODES,
    "Manifests and SQL": manifest.CODES,
    "Disks, object stores and locks": storage.CODES,
    "Ray, jobs and the environment": cluster.CODES,
}

CODES: Final[dict[str, ErrorCode]] = {
    code: text for topic in TOPICS.values() for code, text in topic.items()
}
