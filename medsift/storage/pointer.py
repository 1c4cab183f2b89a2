"""Replace a file of a store by swapping a pointer: readers see the old file or the new one.

The file itself lies under its SHA-256 (``manifest/<sha256>.duckdb``) and never changes. A small
pointer next to it (``manifest.duckdb.json``) names the present one. A writer uploads the new file
first and then swaps the pointer, if it still is the one that the writer began from; killed in
between, it has changed nothing. This machine keeps the present file by its hash, so that queries
read a copy and never download the same content twice.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

from pydantic import Field, ValidationError

from medsift.config import Config
from medsift.errors import StorageError
from medsift.storage.mirror import (
    discard,
    fetch,
    files_below,
    here,
    is_mirrored,
    key_of,
    location,
    publish,
)
from medsift.storage.partial_names import partial_name
from medsift.storage.store import Version


class Pointer(Config):
    """What the pointer of a file says: which content is the present one."""

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    size: int = Field(ge=0)
    previous: str | None = Field(None, pattern="^[0-9a-f]{64}$")
    """The content before: still there for readers that began with it."""
    writer: str
    """Differs for every swap, so that a writer knows its own."""


class Pointed(NamedTuple):
    """A pointer as it was read, and its version in the store; None for one that is not there."""

    pointer: Pointer
    version: Version


def refresh(path: Path) -> Pointed | None:
    """Bring a mirrored file up to date with its pointer; return that, None where there is none.

    A path that is not mirrored stays as it is. Raises StorageError.
    """
    if not is_mirrored(path):
        return None
    path = here(path)
    pointed = _read(path)
    if pointed is None:
        path.unlink(missing_ok=True)
        return None
    copy = _copy(path, pointed.pointer.sha256)
    if not copy.exists():
        try:
            fetch(copy)
        except FileNotFoundError:
            # Swapped twice since the pointer was read, and its content removed.
            return refresh(path)
        _check(copy, pointed.pointer)
    if not path.exists() or not path.samefile(copy):
        _link(copy, path)
        for other in copy.parent.glob(f"*{path.suffix}"):
            if other != copy:
                other.unlink(missing_ok=True)
    return pointed


def swap(path: Path, written: Path, expected: Pointed | None) -> None:
    """Upload a new content of a mirrored file, and swap the pointer that was `expected`.

    Raises StorageError where another writer has swapped it since.
    """
    with written.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    before = None if expected is None else expected.pointer
    copy = _copy(here(path), digest)
    publish(written, copy)
    copy.parent.mkdir(parents=True, exist_ok=True)
    _link(written, copy)
    pointer = Pointer(
        sha256=digest,
        size=written.stat().st_size,
        previous=None if before is None else before.sha256,
        writer=uuid4().hex,
    )
    data = pointer.model_dump_json().encode()
    key = key_of(_pointer_path(path))
    assert key is not None
    if expected is None:
        swapped = key.store.create(key.key, data)
    else:
        swapped = key.store.swap(key.key, data, expected.version)
    if not swapped:
        raise StorageError(
            f"another process changed {location(path)} meanwhile; run the same command again",
            code="pointer_moved",
            path=location(path),
        )
    if before is not None and before.previous not in (None, digest, before.sha256):
        older = key_of(_copy(path, str(before.previous)))
        assert older is not None
        older.store.remove([older.key])


def remove_older(path: Path) -> None:
    """Remove every content of a mirrored file but the present one, from the store and from here.

    Readers that began with an older one fail. Raises StorageError.
    """
    pointed = refresh(path)
    if pointed is not None:
        present = _copy(here(path), pointed.pointer.sha256)
        discard(other for other in files_below(present.parent) if other != present)


def _read(path: Path) -> Pointed | None:
    key = key_of(_pointer_path(path))
    stored = None if key is None else key.store.read(key.key)
    if stored is None:
        return None
    try:
        return Pointed(Pointer.model_validate_json(stored.data), stored.version)
    except ValidationError as error:
        message = f"{location(_pointer_path(path))} is damaged; remove it and curate again"
        raise StorageError(message, code="pointer_damaged", path=location(path)) from error


def _check(copy: Path, pointer: Pointer) -> None:
    """Compare a downloaded content with its name."""
    with copy.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != pointer.sha256:
        copy.unlink()
        message = f"{location(copy)} has other content than its name says; curate again"
        raise StorageError(message, code="pointer_damaged", path=location(copy))


def _pointer_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _copy(path: Path, digest: str) -> Path:
    return path.with_suffix("") / f"{digest}{path.suffix}"


def _link(target: Path, path: Path) -> None:
    """Let `path` be the same file as `target`, in one step."""
    partial = partial_name(path)
    os.link(target, partial)
    partial.replace(path)
