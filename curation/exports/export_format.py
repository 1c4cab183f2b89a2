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
    """How a format is written, and what its Croissant file says about its data files.

    `write` takes the selection in batches, the path to write (which does not exist yet), the
    lineage and the reader of pictures, and returns the number of samples written. `pattern` finds
    the data files of a folder, `media_type` is theirs, `fields` the Croissant fields that a record
    of such a file has.
    """

    name: str
    folder: bool
    write: Callable[[Iterator[pa.Table], Path, Lineage, Pictures], int]
    media_type: str
    pattern: str = ""
    fields: Callable[[Path], list[Json]] | None = None
