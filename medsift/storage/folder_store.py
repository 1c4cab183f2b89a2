"""Keep files under keys in a folder of this machine, with the promises of an object store."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from medsift.errors import StorageError
from medsift.storage.atomic import atomic_file
from medsift.storage.lock_file import open_lock
from medsift.storage.refusals import named_refusals
from medsift.storage.store import Stored, Version

OTHERWISE: Final = "choose another folder"


@dataclass(frozen=True, slots=True)
class FolderStore:
    """Files under `root`, written by rename; a lock file makes comparing and swapping one step."""

    root: Path

    @property
    def url(self) -> str:
        """The folder."""
        return str(self.root)

    def read(self, key: str) -> Stored | None:
        """Return the content of a key, None where there is none."""
        with self._readable(key) as path:
            try:
                data = path.read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                return None
        return Stored(data, Version(hashlib.sha256(data).hexdigest(), None))

    def download(self, key: str, path: Path) -> bool:
        """Copy the file of a key to another; False where there is none."""
        with self._readable(key) as source:
            try:
                shutil.copyfile(source, path)
            except (FileNotFoundError, NotADirectoryError):
                if source.exists():
                    raise
                return False
        return True

    def size(self, key: str) -> int | None:
        """Return the bytes of a key, None where there is none."""
        with self._readable(key) as path:
            try:
                return path.stat().st_size
            except (FileNotFoundError, NotADirectoryError):
                return None

    def write(self, key: str, data: bytes | Path) -> None:
        """Write bytes or a file under a key, completely or not at all."""
        with atomic_file(self._path(key), OTHERWISE) as partial:
            if isinstance(data, Path):
                shutil.copyfile(data, partial)
            else:
                partial.write_bytes(data)

    def create(self, key: str, data: bytes) -> bool:
        """Write a key that is missing; False where it exists."""
        with self._locked(key):
            if self._path(key).exists():
                return False
            self.write(key, data)
        return True

    def swap(self, key: str, data: bytes, expected: Version) -> bool:
        """Replace a key that still has the expected version; False where it has not."""
        with self._locked(key):
            present = self.read(key)
            if present is None or present.version != expected:
                return False
            self.write(key, data)
        return True

    def age(self, key: str) -> float | None:
        """Return the seconds since a key was written."""
        with self._readable(key) as path:
            try:
                return max(0.0, time.time() - path.stat().st_mtime)
            except FileNotFoundError:
                return None

    def remove(self, keys: Sequence[str]) -> None:
        """Remove keys; those that are missing are passed over."""
        for key in keys:
            with named_refusals(self._path(key), OTHERWISE):
                self._path(key).unlink(missing_ok=True)

    def keys(self, folder: str) -> list[str]:
        """Return every key that begins with ``folder/``, sorted; hidden files are none."""
        with self._readable(folder) as path:
            files = [file.relative_to(self.root) for file in path.rglob("*") if file.is_file()]
        return sorted(
            str(file) for file in files if not any(name.startswith(".") for name in file.parts)
        )

    def _path(self, key: str) -> Path:
        return self.root / key

    @contextmanager
    def _readable(self, key: str) -> Iterator[Path]:
        path = self._path(key)
        try:
            yield path
        except OSError as error:
            message = f"cannot read {path}: {error}; make it readable"
            raise StorageError(message, code="file_unreadable", path=str(path)) from error

    @contextmanager
    def _locked(self, key: str) -> Iterator[None]:
        path = self._path(key)
        with named_refusals(path, OTHERWISE):
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = open_lock(path.with_name(f".{path.name}.lock"))
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
