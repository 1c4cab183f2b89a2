"""What an export format is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from curation.errors import InputError
from curation.sources.references import read_bytes


@dataclass(frozen=True, slots=True)
class Origin:
    """Where exported samples come from: manifest, run and selection."""

    manifest: Path
    run_id: str
    selection: str


@dataclass(frozen=True, slots=True)
class ExportFormat:
    """One format: whether it is a folder, and the function that writes it.

    `write` takes the selection in batches, the path to write (which does not exist yet) and the
    origin, and returns the number of samples written.
    """

    name: str
    folder: bool
    write: Callable[[Iterator[pa.Table], Path, Origin], int]


def picture_bytes(ref: str, sample_id: str) -> bytes:
    """The file behind a picture's reference. Raises InputError naming the sample."""
    try:
        return read_bytes(ref)
    except FileNotFoundError as error:
        raise InputError(
            f"sample {sample_id}: no file at {ref!r}; bring it back or curate again"
        ) from error


def suffix(ref: str) -> str:
    """File extension of a reference in lower case, without the dot; `bin` when there is none."""
    name = ref.partition("?")[0].rsplit("/", 1)[-1]
    stem, dot, ending = name.rpartition(".")
    return ending.lower() if dot and stem and ending.isalnum() else "bin"
