"""A run that is done: its recipe and the folders of its stages, found again by its manifest."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from curation.recipe import Recipe
from curation.stage_marker import MARKER, read_marker
from medsift.errors import InputError, ManifestError, StorageError
from medsift.manifest import read
from medsift.storage.seals import broken
from medsift.vocabulary import MANIFEST_NAME


class StageFolders(Mapping[str, Path]):
    """The folders of a run's stages, each compared with its seals when it is first asked for.

    A part that is gone would be read as no rows, and a flipped one as others.
    """

    def __init__(self, folders: Mapping[str, Path], run: str) -> None:
        self.folders, self.run = folders, run
        self.whole: set[str] = set()

    def __getitem__(self, stage: str) -> Path:
        """The folder of a stage.

        Raises:
            ManifestError: the run names no such stage.
            StorageError: a file of the stage is not what it was when the stage ended.
        """
        if stage not in self.folders:
            raise ManifestError(f"{self.run} names no stage {stage!r}; curate again")
        folder = self.folders[stage]
        if stage not in self.whole:
            _require_whole(folder)
            self.whole.add(stage)
        return folder

    def __contains__(self, stage: object) -> bool:
        return stage in self.folders

    def __iter__(self) -> Iterator[str]:
        return iter(self.folders)

    def __len__(self) -> int:
        return len(self.folders)


def _require_whole(folder: Path) -> None:
    marker = read_marker(folder)
    if marker is None:
        problem: str | None = f"{folder / MARKER} is damaged or of another version"
    else:
        problem = broken(folder, marker.files)
    if problem is not None:
        raise StorageError(
            f"{problem}; run the same `medsift curate` again, which works that stage again"
        )


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

    Its `folders` raise StorageError for a stage whose files are not what they were.
    """
    run_dir = run_dir.absolute()
    manifest = run_dir / MANIFEST_NAME
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
        return Recipe.from_stored(json.loads(text))
    except ValidationError as error:
        raise ManifestError(
            f"the recipe in {manifest} is not one of this version: "
            f"{error.errors()[0]['msg']}; curate again"
        ) from error


def _folders(run_dir: Path, run_id: str) -> StageFolders:
    sql = "SELECT stage, fingerprint FROM stages WHERE run_id = $1 ORDER BY ordinal"
    folders = {}
    manifest = run_dir / MANIFEST_NAME
    for line in read(manifest, sql, [run_id]).to_pylist():
        name = f"{line['stage']}-{str(line['fingerprint'])[:16]}"
        if Path(name).name != name or "\0" in name:
            raise ManifestError(f"{manifest} names a stage {name!r}, which is no name of a folder")
        folder = run_dir / "stages" / name
        if not (folder / MARKER).exists():
            raise InputError(
                f"stage {line['stage']} of run {run_id} is gone: there is no {folder}; "
                "curate again into this run directory"
            )
        folders[line["stage"]] = folder
    return StageFolders(folders, f"run {run_id} in {manifest}")
