"""Exports: a selection in the file format that a trainer reads, whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pyarrow as pa

from curation.exports import hf, llava, messages, parquet, sharegpt, webdataset
from curation.exports.croissant import FILE_NAME, croissant
from curation.exports.export_format import ExportFormat, Origin
from curation.exports.lineage import Lineage, read_lineage
from curation.exports.pictures import FOLDER_SUFFIX, Pictures, run_limits
from medsift.errors import ManifestError, StorageError, UsageError
from medsift.manifest import append_tables, resolve_selection, selected_batches

__all__ = ["FORMATS", "ExportResult", "export"]

FORMATS: Final = {
    module.FORMAT.name: module.FORMAT
    for module in (messages, sharegpt, llava, parquet, hf, webdataset)
}
MANIFEST_NAME: Final = "manifest.duckdb"


@dataclass(frozen=True, slots=True)
class ExportResult:
    """What was written: samples, files, and the selection they come from."""

    rows: int
    files: list[Path]
    run_id: str
    selection: str


def export(
    manifest: Path,
    format: str,
    output: Path,
    selection: str | None = None,
    *,
    run_id: str | None = None,
    record: bool = True,
) -> ExportResult:
    """Write a selection to `output`, with Croissant metadata.

    The metadata is ``croissant.json`` inside a folder, and ``NAME.croissant.json`` beside a file
    NAME, where it replaces an older one. A file that names pictures by path has the folder
    ``NAME.pictures`` beside it for those that trainers would not see as the run did.

    Args:
        manifest: the manifest, or the run directory that holds it.
        format: one of `FORMATS`; `hf` and `webdataset` are folders, the others one file.
        output: must not exist, or be empty; anything else there is refused and left alone. It
            appears when it is complete.
        selection: its name; the newest one when None.
        run_id: the run; the newest one with such a selection when None.
        record: note the export in the manifest's table `exports`.

    Raises:
        UsageError: unknown format, or an output that is in the way.
        ManifestError: no such selection.
        InputError: a picture is gone, no picture any more, or another one than in the run.
        StorageError: the disk refuses; nothing half-written remains. Where the manifest alone
            refuses, the export is complete, and the error says so.
    """
    if format not in FORMATS:
        raise UsageError(f"export format {format!r} is unknown; allowed: {', '.join(FORMATS)}")
    chosen = FORMATS[format]
    manifest = manifest / MANIFEST_NAME if manifest.is_dir() else manifest
    _check_output(chosen, output)
    run_id, selection = resolve_selection(manifest, selection, run_id)
    origin = Origin(manifest, run_id, selection)
    rows = _write(chosen, output, origin)
    if record:
        _record(chosen, output, origin, rows)
    found = sorted(path for path in output.rglob("*") if path.is_file())
    shown = sorted(_picture_folder(output).glob("*.png"))
    beside = [output, output.with_name(f"{output.name}.{FILE_NAME}"), *shown]
    return ExportResult(rows, found if chosen.folder else beside, run_id, selection)


def _check_output(chosen: ExportFormat, output: Path) -> None:
    if output.is_dir() and not chosen.folder:
        raise UsageError(f"--output {output} is a folder; format {chosen.name} writes one file")
    if output.is_dir() and _is_empty(output):
        return
    if output.exists() and (output.is_dir() or output.stat().st_size):
        raise UsageError(f"--output {output} is not empty; name another one or remove it")
    beside = _picture_folder(output)
    if not chosen.folder and beside.exists() and not (beside.is_dir() and _is_empty(beside)):
        raise UsageError(f"{beside}, beside --output {output}, is not empty; remove it")
    if output.is_file() and chosen.folder:
        raise UsageError(f"--output {output} is a file; format {chosen.name} writes a folder")


def _is_empty(folder: Path) -> bool:
    return not any(folder.iterdir())


def _picture_folder(output: Path) -> Path:
    return output.with_name(output.name + FOLDER_SUFFIX)


def _write(chosen: ExportFormat, output: Path, origin: Origin) -> int:
    """Write everything into a folder beside `output`, then move it to its place."""
    staging = output.with_name(f".{output.name}.{os.getpid()}.partial")
    batches = selected_batches(origin.manifest, origin.selection, origin.run_id, rows=1000)
    moved: Path | None = None
    try:
        staging.mkdir(parents=True)
        target = staging / output.name
        lineage = read_lineage(origin)
        place = _picture_folder(output)
        pictures = Pictures(
            run_limits(lineage.run["recipe"]), staging / place.name, place.resolve()
        )
        rows = chosen.write(batches, target, lineage, pictures)
        described = _describe(chosen, target, lineage, sorted(pictures.staging.glob("*.png")))
        # First, so that an output that is there is complete.
        if not chosen.folder:
            if pictures.staging.is_dir():
                pictures.staging.replace(place)
                moved = place
            described.replace(output.with_name(described.name))
        target.replace(output)
    except OSError as error:
        if moved is not None:
            shutil.rmtree(moved, ignore_errors=True)
        raise StorageError(
            f"cannot write {output}: {error}; free some space or choose another --output"
        ) from error
    finally:
        batches.close()
        shutil.rmtree(staging, ignore_errors=True)
    return rows


def _describe(
    chosen: ExportFormat, target: Path, lineage: Lineage, pictures: Sequence[Path]
) -> Path:
    """Write the Croissant file: inside a folder, beside a file."""
    if chosen.folder:
        root, files, path = target, sorted(target.glob(chosen.pattern)), target / FILE_NAME
    else:
        root, files = target.parent, [target]
        path = target.with_name(f"{target.name}.{FILE_NAME}")
    path.write_text(croissant(chosen, root, files, lineage, pictures), encoding="utf-8")
    return path


def _record(chosen: ExportFormat, output: Path, origin: Origin, rows: int) -> None:
    line = {
        "selection": origin.selection,
        "format": chosen.name,
        "path": str(output.resolve()),
        "rows": rows,
        "created_at": datetime.now(UTC).replace(tzinfo=None),
    }
    try:
        append_tables(origin.manifest, origin.run_id, {"exports": pa.Table.from_pylist([line])})
    except (ManifestError, StorageError) as error:
        raise type(error)(
            f"the export is complete in {output}, but the manifest has no note of it: {error}"
        ) from error
