"""Read a manifest as tables of rows, turn these into training samples, and load their pictures.

A worker far from the manifest reads the same tables from Parquet.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pyarrow as pa

from medsift.errors import InputError
from medsift.images.curated import read_picture
from medsift.images.references import stat
from medsift.manifest import resolve_selection, selected_batches
from medsift.manifest.manifest_file import manifest_file
from medsift.manifest.training_queries import image_sizes, samples_of_split
from medsift.models.chat_format import Turn
from medsift.models.image_text import marked
from medsift.storage.mirror import is_mirrored
from medsift.vocabulary import MANIFEST_NAME
from training.preference.pair_rows import Pairs, paired_rows, read_pairs
from training.preference.preference_settings import PreferenceConfig
from training.recipe import MIXED_BY

if TYPE_CHECKING:
    from PIL.Image import Image

ROWS_AT_A_TIME: Final = 1024
_IMAGE: Final = pa.struct(
    [
        *((name, pa.string()) for name in ("image_id", "ref")),
        *((name, pa.int64()) for name in ("width", "height")),
        ("group_id", pa.string()),
    ]
)
ROWS: Final = pa.schema(
    [
        ("held_out", pa.bool_()),
        ("sample_id", pa.string()),
        ("row_id", pa.string()),
        ("messages", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))),
        ("images", pa.list_(_IMAGE)),
        ("rejected", pa.string()),
        ("weight", pa.float64()),
        *((tag, pa.string()) for tag in MIXED_BY),
    ]
)
"""`group_id` is the group of confirmed copies that an image is in, or else the image's own id.

`rejected` is the reply that is worse than the last of `messages`, where pairs are learned from."""


class Picture(NamedTuple):
    """A picture of a sample: where it is, and its size in pixels as a viewer shows it."""

    image_id: str
    ref: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Sample:
    """One conversation. `turns` have a ``<image>`` mark for each of the `pictures`, in order."""

    sample_id: str
    row_id: str
    turns: tuple[Turn, ...]
    pictures: tuple[Picture, ...]
    weight: float
    tags: Mapping[str, str | None]
    """Source, stratum and tags."""
    rejected: str | None = None
    """The reply that is worse than the last turn, where pairs are learned from."""

    @property
    def stratum(self) -> str:
        """The stratum that selection sorted it into; empty without one."""
        return self.tags["stratum"] or ""


@dataclass(frozen=True, slots=True)
class Selected:
    """The samples of a selection in rank order, and those of a split that is held out."""

    run_id: str
    selection: str
    samples: tuple[Sample, ...]
    held_out: tuple[Sample, ...]
    groups: Mapping[str, str]
    """Image id → group of confirmed copies."""


def manifest_of(run: Path) -> Path:
    """Return the manifest of a run directory, or the file itself."""
    return manifest_file(run) if is_mirrored(run) or run.is_file() else run / MANIFEST_NAME


def read_selection(
    run: Path,
    selection: str | None = None,
    run_id: str | None = None,
    split: str | None = None,
    preference: PreferenceConfig | None = None,
) -> Selected:
    """Read the samples of a selection, and those of a split that is held out.

    Args:
        run: run directory, or its manifest.
        selection: the newest one when None.
        run_id: the newest run that has the selection when None.
        split: None holds nothing out.
        preference: where pairs of replies come from; None reads no pairs.

    Raises:
        ManifestError: there is no manifest or no such selection.
        InputError: as `gather` does, or there are no pairs.
    """
    manifest = manifest_of(run)
    run_id, selection = resolve_selection(manifest, selection, run_id)
    return gather(run_id, selection, read_rows(manifest, run_id, selection, split, preference))


def read_rows(
    manifest: Path,
    run_id: str,
    selection: str,
    split: str | None = None,
    preference: PreferenceConfig | None = None,
) -> Iterator[pa.Table]:
    """Yield tables of `ROWS`: a selection in rank order, then the held-out samples of a split.

    Args:
        manifest: the manifest file.
        run_id: the run of the selection.
        selection: what is learned from.
        split: what is held out; None holds nothing out.
        preference: where pairs of replies come from, each of which is a row; None reads no pairs.

    Raises:
        ManifestError: the manifest cannot be read.
        InputError: there are no pairs.
    """
    pairs: Pairs = {}
    if preference is not None:
        pairs = read_pairs(manifest, run_id, selection, preference)
    # A picture is stored once for all its questions, so its size is looked up, not joined.
    images = {row["image_id"]: row for row in image_sizes(manifest, run_id).to_pylist()}

    def with_sizes(table: pa.Table, held_out: bool) -> pa.Table:
        rows = table.to_pylist()
        if not held_out:
            rows = paired_rows(rows, pairs)
        for row in rows:
            row["held_out"] = held_out
            row["images"] = [image | images[image["image_id"]] for image in row["images"] or ()]
        return pa.Table.from_pylist(rows, schema=ROWS)

    for table in selected_batches(manifest, selection, run_id):
        yield with_sizes(table, held_out=False)
    if split is not None:
        columns = ("sample_id", "row_id", "messages", "images", *MIXED_BY)
        held_out = samples_of_split(manifest, run_id, split, columns)
        for batch in held_out.to_batches(ROWS_AT_A_TIME):
            yield with_sizes(pa.Table.from_batches([batch]), held_out=True)


def gather(run_id: str, selection: str, tables: Iterable[pa.Table]) -> Selected:
    """Make samples of `ROWS` tables. Raises InputError without any, or for vanished pictures."""
    parts: tuple[list[Sample], list[Sample]] = [], []
    groups: dict[str, str] = {}
    for table in tables:
        for row in table.to_pylist():
            parts[row["held_out"]].append(_sample(row))
            groups |= {image["image_id"]: image["group_id"] for image in row["images"]}
    samples, held_out = map(tuple, parts)
    if not samples:
        message = f"selection {selection!r} of run {run_id} is empty; select again"
        raise InputError(message, code="selection_untrainable", selection=selection)
    pictures = (picture for sample in samples + held_out for picture in sample.pictures)
    # Looked at before the model is loaded: a missing picture must not end a long training.
    # Samples share pictures, so each file is looked at once.
    refs = dict.fromkeys(picture.ref for picture in pictures)
    vanished = [ref for ref, size, _ in stat(refs) if size < 0]
    if vanished:
        message = (
            f"{len(vanished)} of {len(refs)} pictures have vanished since curation, the first is "
            f"{vanished[0]}; put them back, or curate again without them"
        )
        raise InputError(message, code="picture_changed", path=vanished[0], count=len(vanished))
    return Selected(run_id, selection, samples, held_out, groups)


def as_table(samples: Sequence[Sample]) -> pa.Table:
    """Return samples as the columns by which leakage groups are found."""

    def text_of(sample: Sample, role: str) -> str:
        return "\n".join(content for speaker, content in sample.turns if speaker == role)

    images = [[picture.image_id for picture in sample.pictures] for sample in samples]
    columns = {
        "images": pa.array(images, pa.list_(pa.string())),
        "question": pa.array([text_of(sample, "user") for sample in samples], pa.string()),
        "answer": pa.array([text_of(sample, "assistant") for sample in samples], pa.string()),
    }
    for tag in ("source", "series_id", "study_id", "patient_id"):
        columns[tag] = pa.array([sample.tags[tag] for sample in samples], pa.string())
    return pa.table(columns)


def load_picture(picture: Picture, max_pixels: int | None) -> Image:
    """Return a picture in RGB, of at most `max_pixels`. Raises StorageError if gone or changed."""
    from PIL.Image import Resampling

    image = read_picture(picture.ref, picture.image_id)
    size = limit_size(*image.size, max_pixels)
    return image if size == image.size else image.resize(size, Resampling.BICUBIC)


def limit_size(width: int, height: int, max_pixels: int | None) -> tuple[int, int]:
    """Scale width and height down together until their product is at most `max_pixels`."""
    if max_pixels is None or width * height <= max_pixels:
        return width, height
    scale = math.sqrt(max_pixels / (width * height))
    # Rounded down: a side that is rounded up could exceed the limit.
    return max(1, int(width * scale)), max(1, int(height * scale))


def _sample(row: Mapping[str, Any]) -> Sample:
    pictures = tuple(
        Picture(image["image_id"], image["ref"], image["width"], image["height"])
        for image in row["images"]
    )
    turns = [(turn["role"], turn["content"] or "") for turn in row["messages"]]
    stripped = tuple((role, content.strip()) for role, content in turns)
    return Sample(
        sample_id=row["sample_id"],
        row_id=row["row_id"],
        turns=marked(turns, len(pictures)) if pictures else stripped,
        pictures=pictures,
        # Held-out rows have no weight; they are in no selection.
        weight=1.0 if row["weight"] is None else float(row["weight"]),
        tags={tag: row[tag] for tag in MIXED_BY},
        rejected=row["rejected"],
    )
