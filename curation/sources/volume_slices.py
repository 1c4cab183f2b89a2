"""Put the chosen slices of volumes in the place of the volumes that a row names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from curation.sources.row_faults import RowFault
from medsift.child_process import ChildProcess, Lost
from medsift.images.blob_store import BlobStore
from medsift.images.damage import ImageError
from medsift.images.settings import DECODE_SECONDS
from medsift.images.volumes import Volume, VolumesConfig, may_be_volume, read_volume
from medsift.images.volumes.choose_slices import parse_sampler
from medsift.images.volumes.header_tags import fill_tags
from medsift.images.volumes.read import read_key
from medsift.vocabulary import IMAGE_MARK

OTHERWISE: Final = "header: the row gives {} otherwise"
MISSING: Final = "volume: slices are missing"
DUPLICATES: Final = "volume: more slices than one at a position"
REMARKS: Final = "volume: see its notes"
VOLUME_NOTES: Final = r"header: |volume: "
"""Beginnings of notes that a run counts."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """The reason why a volume cannot be used, on its way between processes."""

    reason: str
    detail: str


@dataclass(slots=True)
class Spread:
    """The pictures of a row after its volumes were cut: how many each name gave, in order."""

    refs: list[str] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    tags: dict[str, str | None] = field(default_factory=dict)
    volumes: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class VolumeSlices:
    """Cuts volumes in a child process, which starts with the first, and stores their slices."""

    config: VolumesConfig
    blobs: BlobStore

    @cached_property
    def _child(self) -> ChildProcess:
        return ChildProcess(read_apart, self.config, DECODE_SECONDS)

    def spread(
        self, refs: Sequence[str], tags: Mapping[str, str | None], values: Mapping[str, Any]
    ) -> Spread:
        """Return the pictures of a row, with the slices of each volume in its place.

        Args:
            refs: What the row names, resolved.
            tags: The row's tags, which a header completes.
            values: The row's targets, one of which may say around which slice.

        Raises:
            RowFault: a volume cannot be read.
        """
        row = Spread(tags=dict(tags))
        column = parse_sampler(self.config.slices).column
        at = None if column is None or values.get(column) is None else str(values[column])
        for place, ref in enumerate(refs):
            volume = self._read(ref, row.tags, at) if may_be_volume(ref) else None
            shown = [ref] if volume is None else [self.blobs.put(one) for one in volume.pictures]
            row.refs += shown
            row.sizes.append(len(shown))
            if volume is not None:
                self._note(row, volume, place)
        return row

    def _read(self, ref: str, tags: Mapping[str, str | None], at: str | None) -> Volume | None:
        try:
            reply: Volume | Refusal | None = self._child.ask(ref, dict(tags), at)
        except Lost as loss:
            detail = f"the decoder {loss} at {ref}, tried twice; convert the volume"
            raise RowFault(loss.error, detail) from loss
        if isinstance(reply, Refusal):
            raise RowFault(reply.reason, reply.detail)
        return reply

    def _note(self, row: Spread, volume: Volume, place: int) -> None:
        filled, otherwise = fill_tags(row.tags, volume.tags, read_key(self.config))
        row.tags |= filled
        facts = volume.facts
        row.volumes.append({"place": place, **facts})
        said = ((MISSING, facts["missing"]), (DUPLICATES, facts["duplicates"]))
        row.notes += [OTHERWISE.format(tag) for tag in otherwise]
        row.notes += [words for words, count in said if count]
        row.notes += [REMARKS] if facts["notes"] else []


def read_apart(
    ref: str, row: Mapping[str, str | None], at: str | None, config: VolumesConfig
) -> Volume | Refusal | None:
    """Read a volume in a child process; None for a plain picture."""
    try:
        return read_volume(ref, config, row, at)
    except ImageError as error:
        return Refusal(error.reason, error.detail)


def spread_marks(texts: Sequence[str | None], sizes: Sequence[int]) -> list[str | None]:
    """Return texts with a mark for each slice, where each picture that a row names has a mark."""
    marks = sum((text or "").count(IMAGE_MARK) for text in texts)
    if marks != len(sizes):
        return list(texts)
    left = iter(sizes)
    return [
        None if text is None else re.sub(IMAGE_MARK, lambda _: IMAGE_MARK * next(left), text)
        for text in texts
    ]
