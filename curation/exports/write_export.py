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
import pyarrow.compute as pc

from curation.exports import FORMATS
from curation.exports.croissant import FILE_NAME, croissant
from curation.exports.datasheet import FILE_NAME as DATASHEET
from curation.exports.datasheet import datasheet
from curation.exports.export_format import ExportFormat
from curation.exports.licence_mixture import licence_parts
from curation.exports.lineage import Lineage, read_lineage
from curation.exports.pictures import FOLDER_SUFFIX, Pictures, run_limits
from medsift.errors import ManifestError, StorageError, UsageError
from medsift.licence_rules import licences_config
from medsift.manifest import append_tables, resolve_selection, selected_batches
from medsift.manifest.manifest_file import manifest_file
from medsift.storage.mirror import exists, here, is_mirrored, location, publish
from medsift.storage.partial_names import partial_name
from medsift.storage.refusals import named_refusals
from medsift.storage.stored_folder import has_folder, publish_folder


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

    The metadata is ``croissant.json`` and ``DATASHEET.md`` inside a folder, and
    ``NAME.croissant.json`` and ``NAME.DATASHEET.md`` next to a file NAME, where they replace older
    ones. Where the recipe separates licences, every class of them is an export of its own. A file
    that names pictures by path has the folder ``NAME.pictures`` next to it for pictures that
    trainers would not see as the run did.

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
    output = here(output)
    export_format: ExportFormat = import_module(f"curation.exports.{format}").FORMAT
    manifest = manifest_file(manifest)
    _check_output(export_format, output)
    run_id, selection = resolve_selection(manifest, selection, run_id)
    lineage = read_lineage(manifest, run_id, selection)
    parts = licence_parts(lineage.licences, licences_config(lineage.run["recipe"]))
    if parts is None:
        return _export_part(export_format, output, manifest, lineage, None, record)
    # Nothing is written before every part is known to have its place.
    places = {name: _part_place(export_format, output, name) for name in parts}
    for place in places.values():
        _check_output(export_format, place)
    done = []
    for name, licences in parts.items():
        part = read_lineage(manifest, run_id, selection, licences)
        done.append(_export_part(export_format, places[name], manifest, part, licences, record))
    files = [file for one in done for file in one.files]
    return ExportResult(sum(one.rows for one in done), files, run_id, selection)


def _part_place(export_format: ExportFormat, output: Path, part: str) -> Path:
    """Return where a part of an export goes: into the folder, or next to the file."""
    if export_format.folder:
        return output / part
    return output.with_name(f"{output.stem}.{part}{output.suffix}")


def _of_licences(
    batches: Iterator[pa.Table], licences: Sequence[str | None] | None
) -> Iterator[pa.Table]:
    """Yield the samples of some licences; of all when None."""
    if licences is None:
        yield from batches
        return
    wanted = pa.array([name or "" for name in licences], pa.string())
    for batch in batches:
        yield batch.filter(pc.is_in(pc.fill_null(batch["license"], ""), wanted))


def _export_part(
    export_format: ExportFormat,
    output: Path,
    manifest: Path,
    lineage: Lineage,
    licences: Sequence[str | None] | None,
    record: bool,
) -> ExportResult:
    """Write the samples of some licences to one place, and list it in the manifest."""
    run_id, selection, format = lineage.run["run_id"], lineage.selection, export_format.name
    with closing(selected_batches(manifest, selection, run_id, rows=1000)) as batches:
        rows = _write(export_format, output, _of_licences(batches, licences), lineage)
    if record:
        line = {"selection": selection, "format": format, "path": _place(output)}
        made = {"rows": rows, "created_at": datetime.now(UTC).replace(tzinfo=None)}
        try:
            append_tables(manifest, run_id, {"exports": pa.Table.from_pylist([line | made])})
        except (ManifestError, StorageError) as error:
            raise error.reworded(
                f"the export is complete in {location(output)}, but the manifest does not list "
                f"it: {error}"
            ) from error
    if export_format.folder:
        files = sorted(path for path in output.rglob("*") if path.is_file())
    else:
        pictures = sorted(_picture_folder(output).glob("*.png"))
        files = [output, *_described(output), *pictures]
    return ExportResult(rows, files, run_id, selection)


def _check_output(export_format: ExportFormat, output: Path) -> None:
    pictures = _picture_folder(output)
    path, problem = output, ""
    filled = any(output.iterdir()) if output.is_dir() else output.exists() and output.stat().st_size
    filled = filled or (is_mirrored(output) and (exists(output) or has_folder(output)))
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


def _place(output: Path) -> str:
    """Return the absolute path, or the URL, of what is written."""
    return location(output) if is_mirrored(output) else str(output.resolve())


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
                run_limits(lineage.run["recipe"]),
                staging / folder.name,
                folder if is_mirrored(folder) else folder.resolve(),
            )
            rows = export_format.write(batches, target, lineage, pictures)
            converted = sorted(pictures.staging.glob("*.png"))
            if export_format.pictures:
                converted = sorted(target.glob(export_format.pictures))
            described = _describe(export_format, target, lineage, converted)
            # The pictures and metadata move first: an output that exists is then complete.
            if not export_format.folder:
                if pictures.staging.is_dir():
                    publish_folder(pictures.staging, folder)
                    pictures.staging.replace(folder)
                try:
                    for one in described:
                        publish(one, output.with_name(one.name))
                        one.replace(output.with_name(one.name))
                    publish(target, output)
                    target.replace(output)
                except OSError:
                    if converted:
                        shutil.rmtree(folder, ignore_errors=True)
                    raise
            else:
                publish_folder(target, output)
                target.replace(output)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    return rows


def _describe(
    export_format: ExportFormat, target: Path, lineage: Lineage, pictures: Sequence[Path]
) -> list[Path]:
    """Write Croissant file and datasheet inside a folder, or next to a file; return their paths."""
    if export_format.folder:
        root, files = target, sorted(target.glob(export_format.pattern))
        paths = [target / FILE_NAME, target / DATASHEET]
    else:
        root, files, paths = target.parent, [target], _described(target)
    texts = croissant(export_format, root, files, lineage, pictures), datasheet(lineage)
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text, encoding="utf-8")
    return paths


def _described(file: Path) -> list[Path]:
    """Return the Croissant file and the datasheet of an export of one file."""
    return [file.with_name(f"{file.name}.{name}") for name in (FILE_NAME, DATASHEET)]
