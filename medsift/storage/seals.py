"""Record size and checksum of finished files, so that damage shows before they are used."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from pydantic import Field

from medsift.config import Config

PIECE: Final = 1 << 20


class Seal(Config):
    """Size in bytes and CRC-32 of a file: enough for accidents, no proof against forgery."""

    size: int = Field(ge=0)
    crc32: int = Field(ge=0)


def seal(path: Path) -> Seal:
    """The seal of a file as it is now; reads it whole, piece by piece."""
    size = checksum = 0
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            size += len(piece)
            checksum = zlib.crc32(piece, checksum)
    return Seal(size=size, crc32=checksum)


def seals(root: Path, paths: Iterable[Path]) -> dict[str, Seal]:
    """The seals of `paths` by their names under `root`, in the order of the names."""
    return {str(path.relative_to(root)): seal(path) for path in sorted(paths)}


def broken(root: Path, expected: Mapping[str, Seal]) -> str | None:
    """The first file under `root` that is gone or not what it was, and how; None if all are."""
    for name, known in expected.items():
        path = root / name
        try:
            size = path.stat().st_size
            if size != known.size:
                return f"{path} has {size} bytes instead of {known.size}"
            if seal(path) != known:
                return f"{path} has other content than was written"
        except OSError as error:
            return f"{path} cannot be read ({error.strerror or error})"
    return None


def make_durable(folder: Path) -> None:
    """Push every file under `folder`, and the folders' own entries, to the disk.

    A marker written after that never outlives, over a power cut, what it speaks for.
    """
    for place, _, names in os.walk(folder):
        for name in names:
            sync(Path(place) / name)
        sync(Path(place))


def sync(path: Path) -> None:
    """Push one file or folder to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
