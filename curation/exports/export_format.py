"""Define an export format: how it is written and how its Croissant file describes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from curation.exports.lineage import Lineage
from curation.exports.pictures import Pictures

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ExportFormat:
    """How a format is written, and how its Croissant file describes its data files."""

    name: str
    folder: bool
    """Whether it writes a folder, not one file."""
    write: Callable[[Iterator[pa.Table], Path, Lineage, Pictures], int]
    """Writes batches of a selection to a path that does not exist yet; returns the samples."""
    media_type: str
    """Media type of the data files."""
    pattern: str = ""
    """Glob pattern of the data files in a folder."""
    fields: Callable[[Path], list[Json]] | None = None
    """Returns the Croissant fields of a record; None lists the files without their records."""
    pictures: str = ""
    """Glob pattern of the pictures in a folder that data files name by their paths."""
