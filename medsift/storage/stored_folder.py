"""Keep whole folders in a store: a listing of their files, written last, says what there is.

On a disk a folder appears by one rename. In a store its files are uploaded under their names, and
``files.json``, with the size and checksum of each, comes last: without it there is no folder.
"""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from medsift.config import Config
from medsift.errors import StorageError
from medsift.storage.mirror import (
    AT_ONCE,
    discard,
    exists,
    here,
    is_mirrored,
    key_of,
    location,
    read_current,
)
from medsift.storage.refusals import named_refusals
from medsift.storage.seals import Seal, broken, seal, seals

LISTING: Final = "files.json"


class Listing(Config):
    """The files of a folder by their names below it."""

    files: dict[str, Seal]


def publish_folder(written: Path, path: Path) -> None:
    """Upload the folder `written` as that of `path`; a path that is not mirrored has none.

    Raises StorageError.
    """
    listing = key_of(path / LISTING)
    if listing is None:
        return
    # An older folder ends before its files are replaced.
    listing.store.remove([listing.key])
    files = [file for file in written.rglob("*") if file.is_file()]
    known = seals(written, files)
    root = listing.key.removesuffix(LISTING)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda name: listing.store.write(root + name, written / name), known))
    listing.store.write(listing.key, Listing(files=known).model_dump_json().encode())


def has_folder(path: Path) -> bool:
    """Return whether there is such a folder, in a store a complete one. Raises StorageError."""
    return exists(path / LISTING) if is_mirrored(path) else path.is_dir()


def fetch_folder(path: Path) -> Path:
    """Return where a folder lies on this machine, downloaded and compared with its listing.

    Raises FileNotFoundError where the store has none, and StorageError.
    """
    if not is_mirrored(path):
        return path
    known = _listing(path)
    problem = broken(path, known.files)
    if problem is not None:
        message = f"{problem}; remove {location(path)} and make it again"
        raise StorageError(message, code="folder_damaged", path=location(path))
    return here(path)


def remove_folder(path: Path) -> None:
    """Remove a folder, in a store its listing first. Raises StorageError."""
    if is_mirrored(path):
        names = list(_listing(path).files) if exists(path / LISTING) else []
        discard([path / LISTING])
        discard(path / name for name in names)
        shutil.rmtree(here(path), ignore_errors=True)
        return
    with named_refusals(path, "make it writable"):
        shutil.rmtree(path)


def relist(path: Path, name: str) -> None:
    """Note in the listing of a stored folder that one of its files was written anew."""
    if is_mirrored(path):
        known = Listing(files=_listing(path).files | {name: seal(here(path) / name)})
        listing = key_of(path / LISTING)
        assert listing is not None
        listing.store.write(listing.key, known.model_dump_json().encode())


def copy_folder(path: Path, target: Path) -> None:
    """Copy the files of a folder, which may be in a store, into another one on this machine."""
    shutil.copytree(fetch_folder(path), target, dirs_exist_ok=True)


def _listing(path: Path) -> Listing:
    try:
        return Listing.model_validate_json(read_current(path / LISTING))
    except ValidationError as error:
        message = f"{location(path / LISTING)} is damaged; remove {location(path)}"
        raise StorageError(message, code="folder_damaged", path=location(path)) from error
