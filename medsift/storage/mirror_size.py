"""Keep the mirrors of stores on this machine below a size, which MEDSIFT_CACHE_SIZE names.

Every process that uses a mirror holds a shared lock on all of them until it ends. The first one,
which finds itself alone, removes what was longest unused before it reads anything, so that no file
is ever taken from a process. What is removed is downloaded, or made, again when it is needed.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import time
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import IO, Final, NamedTuple

from medsift.errors import UsageError
from medsift.storage.lock_file import open_lock
from medsift.storage.refusals import named_refusals

logger = logging.getLogger(__name__)
SETTING: Final = "MEDSIFT_CACHE_SIZE"
LOCK: Final = ".used"
KEPT: Final = frozenset(("lock", LOCK))
"""Names of lock files, which other processes may be waiting for."""


class _Item(NamedTuple):
    """A file, or a folder of scratch, that is removed as a whole."""

    used: float
    size: int
    path: Path


def join_users(mirrors: Path) -> None:
    """Note for as long as this process runs that it uses the mirrors below a folder.

    Where no other process does, they are first brought below the size that is set.

    Raises:
        UsageError: the setting is no size.
        StorageError: the disk refuses.
    """
    _join(os.getpid(), mirrors)


def note_use(path: Path) -> None:
    """Note that a file of a mirror is used now; its time of change stays."""
    changed = path.stat().st_mtime_ns
    os.utime(path, ns=(time.time_ns(), changed))


def size_limit() -> int | None:
    """Return the bytes that mirrors may have, None without a limit.

    Raises:
        UsageError: the setting is no size.
    """
    from pydantic import ByteSize, TypeAdapter, ValidationError

    text = os.environ.get(SETTING)
    if not text:
        return None
    try:
        return int(TypeAdapter(ByteSize).validate_python(text))
    except ValidationError as error:
        message = f"{SETTING} is {text!r}; give bytes, or a size such as 20GB"
        raise UsageError(message, code="option_invalid", option=SETTING) from error


@lru_cache(maxsize=8)
def _join(process: int, mirrors: Path) -> IO[bytes]:
    limit = size_limit()
    with named_refusals(mirrors, "name another MEDSIFT_CACHE_DIR"):
        mirrors.mkdir(parents=True, exist_ok=True)
        lock = open_lock(mirrors / LOCK)
        if limit is not None:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                logger.info("%s is used by another process: nothing is removed", mirrors)
            else:
                _shrink(mirrors, limit)
        fcntl.flock(lock, fcntl.LOCK_SH)
    return lock


def _shrink(mirrors: Path, limit: int) -> None:
    """Remove what was longest unused, until the rest is below the limit."""
    items = sorted(_items(mirrors))
    total = sum(item.size for item in items)
    for item in items:
        if total <= limit:
            return
        if item.path.is_dir():
            shutil.rmtree(item.path)
        else:
            item.path.unlink()
        total -= item.size
        logger.info("removed %s from the mirror", item.path)


def _items(folder: Path) -> Iterator[_Item]:
    """Yield the files below a folder; a folder inside a hidden one is one item, as it is mapped."""
    for path in folder.iterdir():
        if path.is_symlink() or path.name in KEPT:
            continue
        if not path.is_dir():
            facts = path.stat()
            # Two names of one file, as a manifest has, count once each: a removal frees the last.
            size = facts.st_blocks * 512 // facts.st_nlink
            yield _Item(max(facts.st_atime, facts.st_mtime), size, path)
        elif folder.name.startswith("."):
            files = [file.stat() for file in path.rglob("*") if file.is_file()]
            used = max((max(one.st_atime, one.st_mtime) for one in files), default=0.0)
            yield _Item(used, sum(one.st_blocks for one in files) * 512, path)
        else:
            yield from _items(path)
