"""Find the manifest that a path names: itself, or that of a run directory, here or in a store."""

from __future__ import annotations

from pathlib import Path

from medsift.storage.mirror import here, is_mirrored
from medsift.storage.pointer import refresh
from medsift.vocabulary import MANIFEST_NAME


def manifest_file(named: Path) -> Path:
    """Return the manifest of a run directory, or of its file; one in a store is brought here.

    There may be no file of that name. Raises StorageError.
    """
    if not is_mirrored(named):
        return named / MANIFEST_NAME if named.is_dir() else named
    manifest = here(named)
    if manifest.name != MANIFEST_NAME:
        manifest = manifest / MANIFEST_NAME
    refresh(manifest)
    return manifest
