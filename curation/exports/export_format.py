"""What an export format is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    from curation.exports.lineage import Lineage
    from curation.exports.pictures import Pictures

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where exported samples come from: manifest, run and selection."""

    manifest: Path
    run_id: str
    selection: str


@dataclass(frozen=True, slots=True)
class ExportFormat:
    """One format: how it is written, and what its Croissant file says of its data files.

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
