"""Open the store of a folder or a URL."""

from __future__ import annotations

from pathlib import Path

from medsift.storage.connect import connect
from medsift.storage.folder_store import FolderStore
from medsift.storage.locations import is_remote, local_path
from medsift.storage.store import Store


def open_store(location: str | Path) -> Store:
    """Return the store of a folder, or of a URL and the keys below its path.

    Raises:
        InputError, StorageError: as `connect`.
    """
    text = str(location)
    return connect(text) if is_remote(text) else FolderStore(local_path(text).absolute())
