"""Write a selection in the file format that a trainer reads, completely or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

import pyarrow as pa

from curation.exports import FORMATS
from curation.exports.croissant import FILE_NAME, croissant
from curation.exports.export_format import ExportFormat
from curation.exports.lineage import Lineage, read_lineage
from curation.exports.pictures import FOLDER_SUFFIX, Pictures, run_limits
from medsift.errors import ManifestError, StorageError, UsageError
from medsift.manifest import append_tables, resolve_selection, selected_batches
from medsift.storage.atomic import named_refusals, partial_name
from medsift.vocabulary import MANIFEST_NAME


@dataclass(frozen=True, slots=True)
class ExportResult:
    """The number of samples, the files, and the selection that an export wrote."""

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

    The metadata is ``croissant.json`` inside a folder, and ``NAME.croissant.json`` next to a
    file NAME, where it replaces an older one. A file that names pictures by path has the folder
    ``NAME.pictures`` next to it for pictures that trainers would not see as the run did.

    Args:
        manifest: The manifest, or its run directory.
        format: One of `FORMATS`; `hf` and `webdataset` write a folder, the others one file.
        output: Must not exist, or be empty; anything else there is refused and left alone. It
            appears when it is complete.
        selection: Its name; the newest one when None.
        run_id: The run; the newest one with such a selection when None.
        record: Whether to list the export in the manifest's table `exports`.

    Raises:
        UsageError: unknown format, or an output that is in the way.
        ManifestError: no such selection.
        InputError: a picture is gone, no picture any more, or another one than in the run.
        StorageError: the disk refuses; no part of the export remains. Where only the manifest
            cannot be written, the export is complete, and the error says so.
    """
    if format not in FORMATS:
        raise UsageError(
            f"export format {format!r} is unknown; allowed: {', '.join(FORMATS)}",
            code="export_format_unknown",
            format=format,
            known=list(FORMATS),
        )
    export_format: ExportFormat = import_module(f"curation.exports.{format}").FORMAT
    manifest = manifest / MANIFEST_NAME if manifest.is_dir() else manifest
    _check_output(export_format, output)
    run_id, selection = resolve_selection(manifest, selection, run_id)
    lineage = read_lineage(manifest, run_id, selection)
    with closing(selected_batches(manifest, selection, run_id, rows=1000)) as batches:
        rows = _write(export_format, output, batches, lineage)
    if record:
        line = {"selection": selection, "format": format, "path": str(output.resolve())}
        made = {"rows": rows, "created_at": datetime.now(UTC).replace(tzinfo=None)}
        try:
            append_tables(manifest, run_id, {"exports": pa.Table.from_pylist([line | made])})
        except (ManifestError, StorageError) as error:
            raise error.reworded(
                f"the export is complete in {output}, but the manifest does not list it: {error}"
            ) from error
    if export_format.folder:
        files = sorted(path for path in output.rglob("*") if path.is_file())
    else:
        pictures = sorted(_picture_folder(output).glob("*.png"))
        files = [output, output.with_name(f"{output.name}.{FILE_NAME}"), *pictures]
    return ExportResult(rows, files, run_id, selection)


def _check_output(export_format: ExportFormat, output: Path) -> None:
    pictures = _picture_folder(output)
    path, problem = output, ""
    filled = any(output.iterdir()) if output.is_dir() else output.exists() and output.stat().st_size
    if output.is_dir() and not export_format.folder:
        problem = f"is a folder; format {export_format.name} writes one file"
    elif filled:
        problem = "is not empty; name another one or remove it"
    elif output.is_file() and export_format.folder:
        problem = f"is a file; format {export_format.name} writes a folder"
    elif not export_format.folder and pictures.exists():
        path = pictures
        if not pictures.is_dir() or any(pictures.iterdir()):
            problem = f"is not empty; remove it, as pictures of --output {output} go there"
    if problem:
        name = path if path == pictures else f"--output {path}"
        raise UsageError(f"{name} {problem}", code="export_output_in_the_way", path=str(path))


def _picture_folder(output: Path) -> Path:
    return output.with_name(output.name + FOLDER_SUFFIX)


def _write(
    export_format: ExportFormat, output: Path, batches: Iterator[pa.Table], lineage: Lineage
) -> int:
    """Write everything into a folder next to `output`, then move it to its path."""
    staging = partial_name(output)
    with named_refusals(output, "choose another --output", "output_unwritable"):
        try:
            staging.mkdir(parents=True)
            target = staging / output.name
            folder = _picture_folder(output)
            pictures = Pictures(
                run_limits(lineage.run["recipe"]), staging / folder.name, folder.resolve()
            )
            rows = export_format.write(batches, target, lineage, pictures)
            converted = sorted(pictures.staging.glob("*.png"))
            described = _describe(export_format, target, lineage, converted)
            # The pictures and metadata move first: an output that exists is then complete.
            if not export_format.folder:
                if pictures.staging.is_dir():
                    pictures.staging.replace(folder)
                try:
                    described.replace(output.with_name(described.name))
                    target.replace(output)
                except OSError:
                    if converted:
                        shutil.rmtree(folder, ignore_errors=True)
                    raise
            else:
                target.replace(output)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    return rows


def _describe(
    export_format: ExportFormat, target: Path, lineage: Lineage, pictures: Sequence[Path]
) -> Path:
    """Write the Croissant file inside a folder, or next to a file; return its path."""
    if export_format.folder:
        root, files, path = target, sorted(target.glob(export_format.pattern)), target / FILE_NAME
    else:
        root, files = target.parent, [target]
        path = target.with_name(f"{target.name}.{FILE_NAME}")
    path.write_text(croissant(export_format, root, files, lineage, pictures), encoding="utf-8")
    return path
