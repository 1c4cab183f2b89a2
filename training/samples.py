"""From the manifest's rows to training samples: who is learned from, who is only measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow as pa

from curation.errors import InputError
from curation.finished import MANIFEST
from curation.manifest import query, resolve_selection, selected_batches
from curation.manifest.schema import quoted
from curation.models.framing import Turn
from curation.scoring.multimodal_gain import marked
from curation.sources.references import stat
from training.recipe import MIXED_BY

BATCH_ROWS: Final = 10_000
_WANTED: Final = ("sample_id", "row_id", "messages", "images", *MIXED_BY)


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
        """The group that it stands for."""
        return self.tags["stratum"] or ""


@dataclass(frozen=True, slots=True)
class Selected:
    """The samples of a selection in rank order, and the copy group of each picture of the run."""

    manifest: Path
    run_id: str
    selection: str
    samples: tuple[Sample, ...]
    groups: Mapping[str, str]
    """Image id → group of confirmed copies."""


def manifest_of(run: Path) -> Path:
    """The manifest of a run directory, or the file itself."""
    return run if run.is_file() else run / MANIFEST


def read_selection(run: Path, selection: str | None = None, run_id: str | None = None) -> Selected:
    """The samples of a selection; the newest one when it is not named.

    Raises:
        ManifestError: there is no manifest or no such selection.
        InputError: it is empty, or pictures have vanished since the run.
    """
    manifest = manifest_of(run)
    run_id, selection = resolve_selection(manifest, selection, run_id)
    sizes, groups = _images(manifest, run_id)
    samples = tuple(
        _sample(line, sizes)
        for table in selected_batches(manifest, selection, run_id, BATCH_ROWS)
        for line in table.to_pylist()
    )
    if not samples:
        raise InputError(f"selection {selection!r} of run {run_id} is empty; select again")
    check_present(samples)
    return Selected(manifest, run_id, selection, samples, groups)


def read_split(selected: Selected, split: str) -> tuple[Sample, ...]:
    """Samples of the run that survived curation and lie in `split`, by row id.

    Raises:
        InputError: there are none, or their pictures have vanished.
    """
    sql = (
        f"SELECT {', '.join(f'p.{name}' for name in _WANTED)} FROM samples p "
        "JOIN rows r ON r.run_id = p.run_id AND r.row_id = p.row_id "
        f"WHERE p.run_id = {quoted(selected.run_id)} AND p.split = {quoted(split)} "
        "AND r.action = 'kept' ORDER BY p.row_id"
    )
    sizes, _ = _images(selected.manifest, selected.run_id)
    samples = tuple(_sample(line, sizes) for line in query(selected.manifest, sql).to_pylist())
    if not samples:
        raise InputError(
            f"run {selected.run_id} has no sample in split {split!r}, so that nothing can be held "
            "out; name another split, or data.held_out.share"
        )
    check_present(samples)
    return samples


def check_present(samples: Sequence[Sample]) -> None:
    """Raise InputError when pictures are no longer where they were."""
    refs = dict.fromkeys(picture.ref for sample in samples for picture in sample.pictures)
    gone = [ref for ref, size, _ in stat(refs) if size < 0]
    if gone:
        raise InputError(
            f"{len(gone)} of {len(refs)} pictures have vanished since curation, the first is "
            f"{gone[0]}; put them back, or curate again without them"
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


def _images(manifest: Path, run_id: str) -> tuple[dict[str, tuple[int, int]], dict[str, str]]:
    """Size and copy group of every picture of a run."""
    table = query(
        manifest,
        f"SELECT image_id, width, height, group_id FROM images WHERE run_id = {quoted(run_id)}",
    )
    lines = list(_lines(table))
    return (
        {image: (int(width), int(height)) for image, width, height, _ in lines},
        {image: group or image for image, _, _, group in lines},
    )


def _lines(table: pa.Table) -> Iterator[tuple[Any, ...]]:
    return zip(*(column.to_pylist() for column in table.columns), strict=True)


def _sample(line: Mapping[str, Any], sizes: Mapping[str, tuple[int, int]]) -> Sample:
    pictures = tuple(
        Picture(one["image_id"], one["ref"], *sizes[one["image_id"]])
        for one in line["images"] or ()
    )
    turns = [(turn["role"], turn["content"] or "") for turn in line["messages"]]
    weight = line.get("weight")
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
