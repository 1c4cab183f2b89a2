"""Give the files of an object store paths on this machine, so that the same code serves both.

A run directory ``s3://bucket/runs/a`` has the path
``CACHE/medsift-stores/s3%3A%2F%2Fbucket/runs/a``, its mirror. A path below says by itself which key
of which store it mirrors, so that any process of any machine understands it: `here` puts this
machine's own cache folder in front. Stages write and read plain files; what makes them a store's
are the few functions here:

- `publish` uploads a finished file before it gets its name on this machine, so that no reader
  finds a file here that the store does not have;
- `fetch` downloads a file that a reader needs. A copy is used again only where this process wrote
  it or compared it with its seal, as another machine may have made the file anew;
- markers and pointers, which say what is complete, are always read from the store (`read_current`).

Names that begin with a dot are scratch of this machine and never leave it. A mirror may be removed
at any time between two commands. MEDSIFT_CACHE_DIR names another cache folder than
``~/.cache/medsift``, MEDSIFT_CACHE_SIZE the most that all mirrors in it may take
(`medsift.storage.mirror_size`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from posixpath import normpath
from typing import Final, NamedTuple
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from medsift.errors import InputError
from medsift.storage.connect import connect
from medsift.storage.locations import refuse_secrets
from medsift.storage.mirror_size import join_users, note_use
from medsift.storage.partial_names import partial_name
from medsift.storage.refusals import named_refusals
from medsift.storage.store import Store

FOLDER: Final = "medsift-stores"
AT_ONCE: Final = 16
"""Requests that are open at the same time."""
_MIRROR: Final = re.compile(rf"^.*?/{FOLDER}/([a-z0-9]+%3A%2F%2F[^/]+)(?:/(.*))?$", re.DOTALL)
_IN_TEXT: Final = re.compile(rf"[^\s'\"=]*/{FOLDER}/[a-z0-9]+%3A%2F%2F[^\s'\",;:)]+")
_compared: Final[set[Path]] = set()
"""Files of mirrors that this process wrote, downloaded or compared with their seals."""


class Key(NamedTuple):
    """A key of a store."""

    store: Store
    key: str


def mirror_of(url: str) -> Path:
    """Return the path on this machine of a store's URL.

    Raises InputError for a URL with credentials in it, or a name in it that begins with a dot.
    """
    parts = urlsplit(refuse_secrets(url))
    if not parts.netloc or any(name.startswith(".") for name in parts.path.split("/")):
        message = (
            f"{url!r} is no place in a store: write it as s3://BUCKET/PATH, where no name "
            "begins with a dot"
        )
        raise InputError(message, code="location_unsupported", location=url)
    bucket = urlunsplit((parts.scheme.lower(), parts.netloc, "", parts.query, ""))
    path = normpath(f"/{parts.path}").lstrip("/")
    return _cache_folder() / FOLDER / quote(bucket, safe="") / path


def location(path: Path) -> str:
    """Return the URL of a mirrored path, and any other path as text."""
    found = _MIRROR.match(str(path))
    if found is None:
        return str(path)
    bucket = urlsplit(unquote(found[1]))
    return urlunsplit(bucket._replace(path=f"/{found[2] or ''}"))


def with_urls(text: str) -> str:
    """Return a text for people with the URL of every mirrored path in it."""
    return _IN_TEXT.sub(lambda found: location(Path(found[0])), text) if FOLDER in text else text


def is_mirrored(path: Path) -> bool:
    """Return whether a path is that of a store's file or folder."""
    return FOLDER in str(path) and _MIRROR.match(str(path)) is not None


def here(path: Path) -> Path:
    """Return the path that a mirrored path of any machine has on this one."""
    found = _MIRROR.match(str(path)) if FOLDER in str(path) else None
    return path if found is None else _cache_folder() / FOLDER / found[1] / (found[2] or "")


def key_of(path: Path) -> Key | None:
    """Return the key of a mirrored file; None for any other path, and for scratch."""
    found = _MIRROR.match(str(path)) if FOLDER in str(path) else None
    if found is None or any(name.startswith(".") for name in (found[2] or "").split("/")):
        return None
    join_users(_cache_folder() / FOLDER)
    return Key(connect(unquote(found[1])), found[2] or "")


def publish(written: Path, path: Path) -> None:
    """Upload the file `written` under the key of `path`; a path that is not mirrored has none."""
    key = key_of(path)
    if key is not None:
        key.store.write(key.key, written)
        _compared.add(here(path))


def publish_missing(paths: Iterable[Path]) -> None:
    """Upload those mirrored files that this process neither wrote nor compared."""
    for path in paths:
        if is_mirrored(path) and here(path) not in _compared:
            publish(path, path)


def fetch(path: Path, *, again: bool = False) -> Path:
    """Return where a file lies on this machine, downloaded where it has to be.

    With `again` also a file that this process knows is downloaded. Raises FileNotFoundError where
    the store has no such file, and StorageError.
    """
    local, key = here(path), key_of(path)
    if key is None or local.is_dir():
        return local
    if not again and local in _compared and local.exists():
        note_use(local)
        return local
    partial = partial_name(local)
    with named_refusals(local, "name another MEDSIFT_CACHE_DIR"):
        local.parent.mkdir(parents=True, exist_ok=True)
    try:
        if not key.store.download(key.key, partial):
            raise FileNotFoundError(f"there is no {location(path)}")
        partial.replace(local)
    finally:
        partial.unlink(missing_ok=True)
    _compared.add(local)
    return local


def fetch_all(paths: Iterable[Path]) -> None:
    """Download files that are not on this machine, several at once; some may be missing."""
    absent = [path for path in paths if is_mirrored(path) and not here(path).exists()]
    if absent:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(_fetch_if_there, absent))


def compared(path: Path) -> None:
    """Note that a mirrored file of this machine has the content that its seal says."""
    if is_mirrored(path):
        _compared.add(here(path))
        note_use(here(path))


def read_current(path: Path) -> bytes:
    """Return the bytes of a file as they are now: of a mirrored one, the store's.

    Raises OSError, FileNotFoundError where there is none, and StorageError.
    """
    key = key_of(path)
    if key is None:
        return here(path).read_bytes()
    stored = key.store.read(key.key)
    if stored is None:
        raise FileNotFoundError(f"there is no {location(path)}")
    return stored.data


def exists(path: Path) -> bool:
    """Return whether there is such a file, of a mirrored one in the store. Raises StorageError."""
    key = key_of(path)
    return here(path).exists() if key is None else key.store.size(key.key) is not None


def discard(paths: Iterable[Path]) -> None:
    """Remove files, of mirrored ones in the store too; those that are missing are passed over."""
    removed = list(paths)
    keys = [key for key in map(key_of, removed) if key is not None]
    if keys:
        # All of them are of one store, as they are of one folder.
        keys[0].store.remove([key.key for key in keys])
    for path in removed:
        _compared.discard(here(path))
        here(path).unlink(missing_ok=True)


def files_below(folder: Path) -> list[Path]:
    """Return the paths of all files below a folder, of a mirrored one those that the store has.

    Only for removing them: what there is otherwise follows from markers. Raises StorageError.
    """
    key = key_of(folder)
    if key is None:
        return sorted(path for path in here(folder).rglob("*") if path.is_file())
    skipped = len(key.key) + 1
    return [here(folder) / name[skipped:] for name in key.store.keys(key.key)]


def _fetch_if_there(path: Path) -> None:
    # Whoever reads it finds out, and knows what to do about it.
    with suppress(FileNotFoundError):
        fetch(path)


def _cache_folder() -> Path:
    named = os.environ.get("MEDSIFT_CACHE_DIR")
    if named:
        return Path(named).absolute()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "medsift"
