"""Store pictures that arrive as bytes in a folder addressed by their content."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from medsift.storage.atomic import atomic_file


@dataclass(frozen=True, slots=True)
class BlobStore:
    """A folder of pictures that arrived as bytes, each named by its SHA-256."""

    root: Path

    def put(self, data: bytes) -> str:
        """Store `data` once and return its absolute path. Raises StorageError."""
        name = hashlib.sha256(data).hexdigest()
        target = self.root / name[:2] / name
        if not target.exists():
            with atomic_file(target) as partial:
                partial.write_bytes(data)
        return str(target)
