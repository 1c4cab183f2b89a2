"""Open a finished run: its recipe and the tables of its stages, named by its manifest."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from curation.recipe import Recipe
from curation.stage_outputs import (
    MARKER,
    StageOutputs,
    Upstream,
    files_read_later,
    read_marker,
)
from curation.stages import STAGES
from medsift.errors import InputError, ManifestError, StorageError
from medsift.manifest import read
from medsift.storage.mirror import exists, location
from medsift.storage.seals import broken, remove_others
from medsift.vocabulary import MANIFEST_NAME

FINGERPRINT: Final = re.compile("[0-9a-f]{16,64}")


def _require_complete(outputs: StageOutputs) -> None:
    """Refuse a stage whose files have changed since it ended.

    A missing part would be read as no rows, and one with a flipped bit as other rows.
    """
    folder = outputs.folder
    marker = read_marker(folder)
    if marker is None or marker.fingerprint != outputs.fingerprint:
        problem: str | None = f"{folder / MARKER} is damaged or of another version"
    else:
        problem = broken(folder, files_read_later(outputs, marker))
        remove_others(folder, folder.rglob("*.parquet"), marker.files)
    if problem is not None:
        message = f"{problem}; run the same `medsift curate` again, which runs that stage anew"
        raise StorageError(message, code="stage_damaged", stage=outputs.stage)


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """A run that is finished: later commands use its recipe and tables."""

    run_id: str
    run_dir: Path
    manifest: Path
    recipe: Recipe
    upstream: Upstream
    """The tables of its stages; each stage is compared with its seals when it is first used."""


def open_run(run_dir: Path, run_id: str | None = None) -> FinishedRun:
    """Open a run of a run directory; the newest one when `run_id` is None.

    Raises:
        ManifestError: there is no manifest or no such run, or its recipe is of another version.
        InputError: a stage's folder is gone.

    Its `upstream` raises StorageError for a stage whose files have changed.
    """
    run_dir = run_dir.absolute()
    manifest = run_dir / MANIFEST_NAME
    runs = read(manifest, "SELECT run_id, recipe FROM runs ORDER BY created_at DESC, run_id DESC")
    recipes = {run["run_id"]: run["recipe"] for run in runs.to_pylist()}
    wanted = run_id if run_id is not None else next(iter(recipes), None)
    if wanted not in recipes:
        known = ", ".join(recipes) or "none"
        raise ManifestError(
            f"{manifest} has no run {wanted!r}; it has {known}", code="run_unknown", run=wanted
        )
    assert wanted is not None
    try:
        recipe = Recipe.from_stored(json.loads(recipes[wanted]))
    except ValidationError as error:
        message = (
            f"the recipe in {manifest} is not one of this version: "
            f"{error.errors()[0]['msg']}; curate again"
        )
        raise ManifestError(message, code="recipe_of_other_version", run=wanted) from error
    return FinishedRun(wanted, run_dir, manifest, recipe, _upstream(run_dir, wanted))


def _upstream(run_dir: Path, run_id: str) -> Upstream:
    sql = "SELECT stage, fingerprint FROM stages WHERE run_id = $1 ORDER BY ordinal"
    manifest = run_dir / MANIFEST_NAME
    known = {stage.name: stage for stage in STAGES}
    listed = []
    for row in read(manifest, sql, [run_id]).to_pylist():
        name, fingerprint = str(row["stage"]), str(row["fingerprint"])
        # A manifest may come from anyone: its words may name a folder below this one, nothing else.
        if name not in known or not FINGERPRINT.fullmatch(fingerprint):
            message = (
                f"{manifest} names a stage {name!r} of fingerprint {fingerprint!r}, which this "
                "version does not know; curate again"
            )
            raise ManifestError(message, code="stage_missing", stage=name)
        folder = run_dir / "stages" / f"{name}-{fingerprint[:16]}"
        if not exists(folder / MARKER):
            message = (
                f"stage {name} of run {run_id} is gone: there is no {location(folder)}; "
                "curate again into this run directory"
            )
            raise InputError(message, code="stage_missing", stage=name)
        stage = known[name]
        listed.append(StageOutputs(name, folder, stage.outputs, fingerprint, stage.decides))
    return Upstream(listed, _require_complete)
