"""Store pictures that arrive as bytes in a folder addressed by their content."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from medsift.errors import StorageError


@dataclass(frozen=True, slots=True)
class BlobStore:
    """Content-addressed folder for pictures that arrive as bytes instead of as files."""

    root: Path

    def put(self, data: bytes) -> str:
        """Store `data` once and return its absolute path. Raises StorageError."""
        name = hashlib.sha256(data).hexdigest()
        target = self.root / name[:2] / name
        if target.exists():
            return str(target)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            partial = target.with_name(f".{name}.{uuid4().hex}.partial")
            partial.write_bytes(data)
            partial.replace(target)
        except OSError as error:
            raise StorageError(
                f"cannot store an image under {self.root}: {error}", code="disk_refused"
            ) from error
        return str(target)
