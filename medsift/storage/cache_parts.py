"""The files of a cache: parts in folders small enough to be listed often, named by their bytes."""

from __future__ import annotations

import hashlib
import logging
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from medsift.errors import StorageError
from medsift.storage.atomic import PARTIAL, atomic_file

logger = logging.getLogger(__name__)
Place = tuple[Path, int]
"""A part and one of its row groups."""
SUFFIX: Final = ".parquet"
# A file system notes times in steps: a folder that changed this lately is listed once more.
SETTLED_NS: Final = 2_000_000_000
ABANDONED_SECONDS: Final = 3_600.0


class PartFolder:
    """The parts under `root`: in subfolders by the first two digits of their names.

    Only subfolders whose time of change moved are listed again, so a look costs the same however
    many parts there are. Parts directly in `root` were written by older versions and are read too.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._seen: set[Path] = set()
        self._listed: dict[Path, int] = {}
        self._intact: set[Path] = set()

    def put(self, data: bytes) -> None:
        """Store a part, whole, unless it is there. Raises StorageError when the disk refuses."""
        name = hashlib.sha256(data).hexdigest()
        target = self.root / name[:2] / f"{name}{SUFFIX}"
        if _holds(target, data):
            return
        with atomic_file(target, "choose another cache_dir", "cache_unusable") as partial:
            partial.write_bytes(data)

    def new(self) -> Iterator[Path]:
        """Parts that came since the last look, in order. Raises StorageError for a bad folder."""
        fresh = [part for folder in self._folders() for part in self._changed(folder)]
        for part in sorted(fresh):
            self._seen.add(part)
            yield part

    def intact(self, part: Path) -> bool:
        """Whether the part's bytes are those its name says; looked at once for each part."""
        if part.parent != self.root and part not in self._intact:
            if hashlib.sha256(part.read_bytes()).hexdigest() != part.stem:
                return False
            self._intact.add(part)
        return True

    def forget(self) -> None:
        """Look at every part again next time."""
        self._seen.clear()
        self._listed.clear()

    def _folders(self) -> list[Path]:
        try:
            with os.scandir(self.root) as entries:
                inner = [Path(entry.path) for entry in entries if entry.is_dir()]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StorageError(
                f"cannot read the cache {self.root}: {error}", code="cache_unusable"
            ) from error
        return [self.root, *sorted(inner)]

    def _changed(self, folder: Path) -> list[Path]:
        """Unseen parts of one folder, which is listed only where it may have some."""
        found = []
        try:
            moved = folder.stat().st_mtime_ns
            if self._listed.get(folder) == moved:
                return []
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.name.endswith(PARTIAL):
                        _sweep(Path(entry.path))
                    elif entry.name.endswith(SUFFIX) and not entry.name.startswith("."):
                        found.append(Path(entry.path))
        except OSError as error:
            raise StorageError(
                f"cannot read the cache {folder}: {error}", code="cache_unusable"
            ) from error
        if time.time_ns() - moved > SETTLED_NS:
            self._listed[folder] = moved
        return [part for part in found if part not in self._seen]


def _holds(target: Path, data: bytes) -> bool:
    """Whether a part is there as it should be; one damaged unnoticed is written again."""
    try:
        return target.read_bytes() == data
    except OSError:
        return False


def _sweep(partial: Path) -> None:
    """Remove what a killed writer left: its process is gone from this host, or it is long ago."""
    try:
        age = time.time() - partial.stat().st_mtime
        if age > ABANDONED_SECONDS or _writer_is_gone(partial.name):
            partial.unlink(missing_ok=True)
    except OSError as error:
        logger.debug("cannot sweep %s: %s", partial, error)


def _writer_is_gone(name: str) -> bool:
    """Whether the process that a partial file's name ends with ran here and runs no more."""
    host, _, process = name.removesuffix(PARTIAL).split(".", 3)[-1].rpartition(".")
    if host != socket.gethostname() or not process.isdigit():
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False
