"""Record size and checksum of finished files, so that damage is found before they are used."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from pydantic import Field

from medsift.config import Config
from medsift.storage.mirror import compared, fetch, fetch_all, here, is_mirrored, location

PIECE: Final = 1 << 20


class Seal(Config):
    """Size in bytes and CRC-32 of a file: enough against accidents, no proof against forgery."""

    size: int = Field(ge=0)
    crc32: int = Field(ge=0)


def seal(path: Path) -> Seal:
    """Compute the seal of a file as it is now; it is read completely, piece by piece."""
    size = checksum = 0
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            size += len(piece)
            checksum = zlib.crc32(piece, checksum)
    return Seal(size=size, crc32=checksum)


def seals(root: Path, paths: Iterable[Path]) -> dict[str, Seal]:
    """Return the seals of `paths` by their names under `root`, in the order of the names."""
    return {str(path.relative_to(root)): seal(path) for path in sorted(paths)}


def broken(root: Path, expected: Mapping[str, Seal]) -> str | None:
    """Return which file under `root` is gone or changed, and how; None where none is.

    Files of a store that this machine lacks, or has otherwise, are downloaded first.
    """
    fetch_all(root / name for name in expected)
    for name, known in expected.items():
        path = here(root / name)
        problem = _difference(path, known)
        if problem is not None and is_mirrored(path):
            # Another machine may have made the file anew since this one has its copy.
            try:
                problem = _difference(fetch(path, again=True), known)
            except FileNotFoundError as error:
                problem = str(error)
        if problem is not None:
            return problem
        compared(path)
    return None


def _difference(path: Path, known: Seal) -> str | None:
    """Return in what a file differs from its seal, None where it does not."""
    try:
        size = path.stat().st_size
        if size != known.size:
            return f"{location(path)} has {size} bytes instead of {known.size}"
        if seal(path) != known:
            return f"{location(path)} has other content than was written"
    except OSError as error:
        return f"{location(path)} cannot be read ({error.strerror or error})"
    return None


def remove_others(root: Path, files: Iterable[Path], known: Iterable[str]) -> None:
    """Remove from the mirror `root` those of its files that are not known by name.

    They are of an earlier attempt that another machine replaced.
    """
    if is_mirrored(root):
        names = set(known)
        for path in files:
            if str(path.relative_to(here(root))) not in names:
                path.unlink(missing_ok=True)


def make_durable(folder: Path) -> None:
    """Write every file under `folder`, and the folders' own entries, through to the disk.

    After a power cut, a marker written later is then never there without its files.
    """
    for inner, _, names in os.walk(folder):
        for name in names:
            sync(Path(inner) / name)
        sync(Path(inner))


def sync(path: Path) -> None:
    """Write one file or folder through to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
