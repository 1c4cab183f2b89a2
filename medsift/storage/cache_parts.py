"""Store a cache's parts, named by the digest of their bytes, in folders that are quick to list."""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Iterator, Set
from pathlib import Path
from typing import Final

import pyarrow.parquet as pq

from medsift.errors import StorageError
from medsift.storage.atomic import atomic_file
from medsift.storage.mirror import discard
from medsift.storage.partial_names import PARTIAL, writer_is_gone

logger = logging.getLogger(__name__)
RowGroup = tuple[Path, int]
"""A part and one of its row groups."""
SUFFIX: Final = ".parquet"
# File systems record times in steps: a folder that changed this recently is listed once more.
SETTLED_NS: Final = 2_000_000_000
ABANDONED_SECONDS: Final = 3_600.0


class PartFolder:
    """The parts under `root`, in subfolders by the first two digits of their names.

    Only subfolders whose time of change has moved are listed again, so that looking for new parts
    takes the same time however many there are. Parts directly in `root` were written by older
    versions and are read too.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._seen: set[Path] = set()
        self._listed: dict[Path, int] = {}
        self._intact: set[Path] = set()

    def put(self, data: bytes, key: str) -> None:
        """Store a part unless it is there; `key` is its column of content ids.

        Raises StorageError when the disk refuses.
        """
        name = self.name_of(data)
        target = self.root / name[:2] / f"{name}{SUFFIX}"
        try:
            # Bytes are compared, so that a part which was damaged unnoticed is written again.
            if target.read_bytes() == data:
                return
        except OSError:
            pass
        with atomic_file(target, "choose another cache_dir", "cache_unusable") as partial:
            partial.write_bytes(data)

    def new(self) -> Iterator[Path]:
        """Yield parts that are new since the last call, sorted. Raises StorageError."""
        try:
            fresh = [part for folder in self._folders() for part in self._changed(folder)]
        except OSError as error:
            message = f"cannot read the cache {self.root}: {error}"
            raise StorageError(message, code="cache_unusable") from error
        for part in sorted(fresh):
            self._seen.add(part)
            yield part

    @staticmethod
    def name_of(data: bytes) -> str:
        """Return the name of the part that these bytes are."""
        return hashlib.sha256(data).hexdigest()

    def keys(self, part: Path, key: str) -> list[list[str]]:
        """Return the content ids of each row group of a part; vectors are not read."""
        with pq.ParquetFile(part, page_checksum_verification=True) as file:
            groups = range(file.num_row_groups)
            return [file.read_row_group(n, columns=[key])[key].to_pylist() for n in groups]

    def lacks(self, part: Path, ids: Set[str]) -> bool:
        """Return whether a part is known, without reading it, to have none of some content ids."""
        return False

    def intact(self, part: Path) -> bool:
        """Return whether a part's bytes have the digest of its name; computed once per part."""
        if part.parent != self.root and part not in self._intact:
            if hashlib.sha256(part.read_bytes()).hexdigest() != part.stem:
                return False
            self._intact.add(part)
        return True

    def remove(self, part: Path) -> None:
        """Remove a part for good. Raises OSError."""
        discard([part])
        self.forget(part)

    def forget(self, part: Path) -> None:
        """List every part again at the next call of `new`, because this one is damaged or gone."""
        self._seen.clear()
        self._listed.clear()

    def _folders(self) -> list[Path]:
        try:
            with os.scandir(self.root) as entries:
                inner = [Path(entry.path) for entry in entries if entry.is_dir()]
        except FileNotFoundError:
            return []
        return [self.root, *sorted(inner)]

    def _changed(self, folder: Path) -> list[Path]:
        """Return the unseen parts of one folder, which is listed only if it may have some."""
        listed = []
        moved = folder.stat().st_mtime_ns
        if self._listed.get(folder) == moved:
            return []
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.endswith(PARTIAL):
                    _remove_if_abandoned(Path(entry.path))
                elif entry.name.endswith(SUFFIX) and not entry.name.startswith("."):
                    listed.append(Path(entry.path))
        if time.time_ns() - moved > SETTLED_NS:
            self._listed[folder] = moved
        return [part for part in listed if part not in self._seen]


def _remove_if_abandoned(partial: Path) -> None:
    """Remove an unfinished file whose writer no longer runs on this host, or which is old."""
    try:
        age = time.time() - partial.stat().st_mtime
        if age > ABANDONED_SECONDS or writer_is_gone(partial.name):
            partial.unlink(missing_ok=True)
    except OSError as error:
        logger.debug("cannot remove %s: %s", partial, error)
