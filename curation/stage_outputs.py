"""Read and write the tables that stages declare, and the markers of stages that are complete."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa
from pydantic import ValidationError

from medsift import records
from medsift.config import Config
from medsift.errors import ManifestError
from medsift.storage.mirror import is_mirrored, read_current
from medsift.storage.parts import (
    count_rows,
    parts,
    read_folder,
    read_tables,
    write_table,
    write_tables,
)
from medsift.storage.seals import Seal
from medsift.storage.vectors import ContentVectors, read_vectors

DECISIONS = "decisions"
"""Every stage has this table: the rows that it dropped or failed."""
UPDATES = "updates"
"""A stage that changes samples declares this table: `row_id` and the columns that it sets."""
MARKER: Final = "done.json"
"""A stage's folder has this file when the stage is complete."""


@dataclass(frozen=True, slots=True)
class OutputTable:
    """One table of a stage: a folder of Parquet parts, and the schema that the stage declared."""

    folder: Path
    schema: pa.Schema

    def parts(self) -> list[Path]:
        """Return the files of the table, in order; none where nothing was written."""
        return parts(self.folder)

    def count(self) -> int:
        """Count the rows, from the footers of the files."""
        return count_rows(self.folder)

    def read(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Read the table, or some of its columns; it is empty where nothing was written."""
        return read_folder(self.folder, self.schema, columns)

    def read_parts(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """Read one file after the other."""
        return read_tables(self.folder, self.schema, columns)

    def read_vectors(self) -> ContentVectors:
        """Read a table of vectors as one matrix."""
        return read_vectors(self.folder)

    def write(self, table: pa.Table, ordinal: int = 0) -> None:
        """Write a part of the table. Raises StorageError when the disk refuses."""
        write_table(table, self._part(ordinal))

    def write_all(self, tables: Iterable[pa.Table], ordinal: int = 0) -> int:
        """Write a part of the table from tables that come one by one; return its rows."""
        return write_tables(tables, self.schema, self._part(ordinal))

    def has(self, ordinal: int) -> bool:
        """Return whether a part is written already, as after an interruption of its stage."""
        return self._part(ordinal).exists()

    def _part(self, ordinal: int) -> Path:
        return self.folder / f"part-{ordinal:06d}.parquet"


@dataclass(frozen=True, slots=True)
class StageOutputs:
    """The tables of one stage as attributes, for example `outputs.groups.read()`."""

    stage: str
    folder: Path
    schemas: Mapping[str, pa.Schema]
    fingerprint: str = ""
    decides: bool = True
    """Whether the stage may drop or change samples; scoring and selecting do not."""

    def __getattr__(self, name: str) -> OutputTable:
        if name.startswith("__"):
            raise AttributeError(name)
        if name == DECISIONS:
            return OutputTable(self.folder / name, records.DECISIONS)
        if name not in self.schemas:
            declared = ", ".join([*self.schemas, DECISIONS])
            raise AttributeError(f"stage {self.stage} declares no {name!r}; it has {declared}")
        return OutputTable(self.folder / name, self.schemas[name])


class Upstream(Mapping[str, StageOutputs]):
    """The finished stages of a run by name, in their order, also as attributes.

    `upstream.dedup.groups` is a table of the stage `dedup`. `check` is called with the outputs of
    a stage when they are first used, and may refuse them.
    """

    def __init__(
        self,
        stages: Sequence[StageOutputs] = (),
        check: Callable[[StageOutputs], None] | None = None,
    ) -> None:
        self._stages = {outputs.stage: outputs for outputs in stages}
        self._check = check
        self._checked: set[str] = set()

    def __getitem__(self, stage: str) -> StageOutputs:
        outputs = self._stages[stage]
        if self._check is not None and stage not in self._checked:
            self._check(outputs)
            self._checked.add(stage)
        return outputs

    def __getattr__(self, stage: str) -> StageOutputs:
        if stage.startswith("_"):
            raise AttributeError(stage)
        if stage not in self._stages:
            raise AttributeError(f"no stage {stage!r} has run; there are {', '.join(self)}")
        return self[stage]

    def __contains__(self, stage: object) -> bool:
        return stage in self._stages

    def __iter__(self) -> Iterator[str]:
        return iter(self._stages)

    def __len__(self) -> int:
        return len(self._stages)

    def through(self, stage: str) -> Upstream:
        """Return the stages up to this one, itself included. Raises ManifestError without it."""
        names = list(self)
        if stage not in names:
            message = f"the run has no stage {stage!r}; it has {', '.join(names)}; curate again"
            raise ManifestError(message, code="stage_missing", stage=stage)
        return Upstream([self[name] for name in names[: names.index(stage) + 1]])

    def last_deciding(self) -> StageOutputs:
        """Return the last stage that may drop or change samples: it names the pool."""
        return next(outputs for outputs in reversed(list(self.values())) if outputs.decides)


class StageMarker(Config):
    """Identity, row balance and timings of a stage, and every file with its seal."""

    fingerprint: str
    """Digest of settings, version and everything upstream: the stage's whole identity."""
    rows_in: int
    kept: int
    dropped: int
    failed: int
    seconds: float
    operators: tuple[tuple[str, float, int], ...]
    files: dict[str, Seal]


def files_read_later(outputs: StageOutputs, marker: StageMarker) -> dict[str, Seal]:
    """Return the files of a finished stage that are to be compared with their seals.

    On a disk these are all. Of a store only the stage's tables, which later stages read: what a
    stage wrote for itself is not downloaded.
    """
    if not is_mirrored(outputs.folder):
        return marker.files
    tables = {*outputs.schemas, DECISIONS}
    return {name: seal for name, seal in marker.files.items() if name.split("/")[0] in tables}


def read_marker(folder: Path) -> StageMarker | None:
    """Return the marker of a stage; None where it is gone, damaged or of another version."""
    try:
        return StageMarker.model_validate_json(read_current(folder / MARKER))
    except (OSError, ValidationError):
        return None
