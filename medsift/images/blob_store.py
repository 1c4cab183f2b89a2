"""Store pictures that arrive as bytes in a folder addressed by their content."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from medsift.storage.atomic import atomic_file
from medsift.storage.mirror import exists, here, location


@dataclass(frozen=True, slots=True)
class BlobStore:
    """A folder or store of pictures that arrived as bytes, each named by its SHA-256."""

    root: Path

    def put(self, data: bytes) -> str:
        """Store `data` once and return its absolute path or URL. Raises StorageError."""
        name = hashlib.sha256(data).hexdigest()
        if not self.has(name):
            with atomic_file(self._path(name)) as partial:
                partial.write_bytes(data)
        return self.location(name)

    def has(self, name: str) -> bool:
        """Return whether bytes of this SHA-256 (hex) are stored."""
        return self._path(name).exists() or exists(self._path(name))

    def location(self, name: str) -> str:
        """Return the absolute path or URL of the bytes of a SHA-256, stored or not."""
        return location(self._path(name))

    def _path(self, name: str) -> Path:
        return here(self.root) / name[:2] / name
