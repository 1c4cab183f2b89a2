"""A run that is done: its recipe and the folders of its stages, found again by its manifest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from curation.errors import InputError, ManifestError
from curation.manifest import read
from curation.recipe import Recipe

MANIFEST = "manifest.duckdb"


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """What later commands build on: nothing that the run made is made again."""

    run_id: str
    run_dir: Path
    manifest: Path
    recipe: Recipe
    folders: Mapping[str, Path]


def open_run(run_dir: Path, run_id: str | None = None) -> FinishedRun:
    """Find a run of a run directory; the newest one when `run_id` is None.

    Raises:
        ManifestError: there is no manifest or no such run, or its recipe is of another version.
        InputError: a stage's folder is gone.
    """
    run_dir = run_dir.absolute()
    manifest = run_dir / MANIFEST
    runs = read(manifest, "SELECT run_id, recipe FROM runs ORDER BY created_at DESC, run_id")
    lines = {line["run_id"]: line["recipe"] for line in runs.to_pylist()}
    wanted = run_id if run_id is not None else next(iter(lines), None)
    if wanted not in lines:
        known = ", ".join(lines) or "none"
        raise ManifestError(f"{manifest} has no run {wanted!r}; it has {known}")
    assert wanted is not None
    return FinishedRun(
        wanted, run_dir, manifest, _recipe(lines[wanted], manifest), _folders(run_dir, wanted)
    )


def _recipe(text: str, manifest: Path) -> Recipe:
    try:
        return Recipe.model_validate(json.loads(text))
    except ValidationError as error:
        raise ManifestError(
            f"the recipe in {manifest} is not one of this version: "
            f"{error.errors()[0]['msg']}; curate again"
        ) from error


def _folders(run_dir: Path, run_id: str) -> dict[str, Path]:
    sql = "SELECT stage, fingerprint FROM stages WHERE run_id = $1 ORDER BY ordinal"
    folders = {}
    manifest = run_dir / MANIFEST
    for line in read(manifest, sql, [run_id]).to_pylist():
        name = f"{line['stage']}-{line['fingerprint'][:16]}"
        if Path(name).name != name:
            raise ManifestError(f"{manifest} names a stage {name!r}, which is no name of a folder")
        folder = run_dir / "stages" / name
        if not (folder / "done.json").exists():
            raise InputError(
                f"stage {line['stage']} of run {run_id} is gone: there is no {folder}; "
                "curate again into this run directory"
            )
        folders[line["stage"]] = folder
    return folders
