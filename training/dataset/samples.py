"""From the manifest's rows to training samples: who is learned from, who is only measured."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from medsift.errors import InputError
from medsift.images.curated import read_picture
from medsift.images.references import stat
from medsift.manifest import resolve_selection
from medsift.models.chat_format import Turn
from medsift.models.image_text import marked
from medsift.vocabulary import MANIFEST_NAME
from training.dataset.rows import read_rows
from training.recipe import MIXED_BY

if TYPE_CHECKING:
    from PIL.Image import Image


class Picture(NamedTuple):
    """A picture of a sample: where it is, and its size in pixels as a viewer shows it."""

    image_id: str
    ref: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Sample:
    """One conversation. `turns` hold a ``<image>`` mark for each of the `pictures`, in order."""

    sample_id: str
    row_id: str
    turns: tuple[Turn, ...]
    pictures: tuple[Picture, ...]
    weight: float
    tags: Mapping[str, str | None]
    """Source, stratum and tags."""

    @property
    def stratum(self) -> str:
        """The group that it represents."""
        return self.tags["stratum"] or ""


@dataclass(frozen=True, slots=True)
class Selected:
    """The samples of a selection in rank order, and those of a split that is held out."""

    run_id: str
    selection: str
    samples: tuple[Sample, ...]
    held: tuple[Sample, ...]
    groups: Mapping[str, str]
    """Image id → group of confirmed copies."""


def manifest_of(run: Path) -> Path:
    """The manifest of a run directory, or the file itself."""
    return run if run.is_file() else run / MANIFEST_NAME


def read_selection(
    run: Path,
    selection: str | None = None,
    run_id: str | None = None,
    split: str | None = None,
) -> Selected:
    """The samples of a selection, the newest one when it is not named, and those of a split.

    Raises:
        ManifestError: there is no manifest or no such selection.
        InputError: as `gather` does.
    """
    manifest = manifest_of(run)
    run_id, selection = resolve_selection(manifest, selection, run_id)
    return gather(run_id, selection, read_rows(manifest, run_id, selection, split))


def gather(run_id: str, selection: str, tables: Iterable[pa.Table]) -> Selected:
    """The samples of tables of `ROWS`.

    Raises InputError: the selection is empty, or pictures have vanished since the run.
    """
    parts: tuple[list[Sample], list[Sample]] = [], []
    groups: dict[str, str] = {}
    for line in (line for table in tables for line in table.to_pylist()):
        parts[line["held_out"]].append(_sample(line))
        groups |= {one["image_id"]: one["group_id"] for one in line["images"]}
    samples, held = map(tuple, parts)
    if not samples:
        raise InputError(
            f"selection {selection!r} of run {run_id} is empty; select again",
            code="selection_untrainable",
        )
    check_present(samples + held)
    return Selected(run_id, selection, samples, held, groups)


def check_present(samples: Sequence[Sample]) -> None:
    """Raise InputError when pictures are no longer where they were."""
    refs = dict.fromkeys(picture.ref for sample in samples for picture in sample.pictures)
    gone = [ref for ref, size, _ in stat(refs) if size < 0]
    if gone:
        raise InputError(
            f"{len(gone)} of {len(refs)} pictures have vanished since curation, the first is "
            f"{gone[0]}; put them back, or curate again without them",
            code="picture_changed",
        )


def as_table(samples: Sequence[Sample]) -> pa.Table:
    """Samples as the functions of `curation.splits` read them."""
    tags = ("source", "study_id", "patient_id")
    columns: dict[str, Any] = {
        "images": pa.array(
            [[picture.image_id for picture in sample.pictures] for sample in samples],
            pa.list_(pa.string()),
        ),
        "question": pa.array([_said(sample, "user") for sample in samples], pa.string()),
        "answer": pa.array([_said(sample, "assistant") for sample in samples], pa.string()),
    }
    for tag in tags:
        columns[tag] = pa.array([sample.tags[tag] for sample in samples], pa.string())
    return pa.table(columns)


def _said(sample: Sample, role: str) -> str:
    return "\n".join(content for speaker, content in sample.turns if speaker == role)


def _sample(line: Mapping[str, Any]) -> Sample:
    pictures = tuple(
        Picture(one["image_id"], one["ref"], one["width"], one["height"]) for one in line["images"]
    )
    turns = [(turn["role"], turn["content"] or "") for turn in line["messages"]]
    weight = line["weight"]
    return Sample(
        sample_id=line["sample_id"],
        row_id=line["row_id"],
        turns=marked(turns, len(pictures)) if pictures else _plain(turns),
        pictures=pictures,
        weight=1.0 if weight is None else float(weight),
        tags={tag: line[tag] for tag in MIXED_BY},
    )


def _plain(turns: Sequence[Turn]) -> tuple[Turn, ...]:
    return tuple((role, content.strip()) for role, content in turns)


def load_picture(picture: Picture, max_pixels: int | None) -> Image:
    """The picture in RGB, of at most `max_pixels`.

    Raises StorageError when it is gone or shows other pixels than when it was curated.
    """
    from PIL.Image import Resampling

    found = read_picture(picture.ref, picture.image_id)
    size = limited(*found.size, max_pixels)
    return found if size == found.size else found.resize(size, Resampling.BICUBIC)


def limited(width: int, height: int, max_pixels: int | None) -> tuple[int, int]:
    """Width and height scaled down together, so that their product is at most `max_pixels`."""
    if max_pixels is None or width * height <= max_pixels:
        return width, height
    share = math.sqrt(max_pixels / (width * height))
    return max(1, int(width * share)), max(1, int(height * share))
