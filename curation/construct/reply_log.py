"""Keep every reply on disk before anything else happens with it, so that none is asked for twice.

Replies are lines of JSON in one file that only grows, each under the digest of what was asked. A
process that is killed leaves at most half a line, which the next one cuts off.
"""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
from collections.abc import Set
from pathlib import Path
from threading import Lock
from typing import Any, Final, Self

from medsift.errors import UsageError
from medsift.storage.atomic import atomic_file
from medsift.storage.lock_file import open_lock
from medsift.storage.refusals import named_refusals

FILE_NAME: Final = "replies.jsonl"
OTHERWISE: Final = "name another folder under `replies`"
KEY: Final = "id"
ABOUT: Final = "about"
"""Digest of the content of the sample that a reply is about."""
logger = logging.getLogger(__name__)


def remove_replies(folder: Path, about: Set[str], keys: Set[str]) -> int:
    """Remove the replies about some contents, or under some digests, and return their number.

    What stays is written to a file next to the old one, which it replaces at once. Raises
    UsageError where another process uses the folder, StorageError where the disk refuses.
    """
    with ReplyLog(folder) as log:
        removed = 0
        with atomic_file(log.path, OTHERWISE) as partial, partial.open("wb") as file:
            for line in log.path.open("rb"):
                if _is_of(line, about, keys):
                    removed += 1
                else:
                    file.write(line)
            os.fsync(file.fileno())
    return removed


def _is_of(line: bytes, about: Set[str], keys: Set[str]) -> bool:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        # Damage that nobody can read may be of anybody.
        return True
    return record.get(ABOUT) in about or record.get(KEY) in keys


class ReplyLog:
    """Replies by the digest of what was asked; places in the file are kept in memory, not texts.

    One process at a time uses a folder. Raises UsageError where another does, StorageError where
    the disk refuses.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE_NAME
        with named_refusals(self.path, OTHERWISE):
            folder.mkdir(parents=True, exist_ok=True)
            self._lock_file = open_lock(folder / "lock")
        try:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._lock_file.close()
            message = f"{folder} is in use by another process; wait for it, or {OTHERWISE}"
            raise UsageError(message, code="replies_busy", path=str(folder)) from error
        self._writing = Lock()
        self._places: dict[bytes, int] = {}
        with named_refusals(self.path, OTHERWISE):
            # Unbuffered, so that what a full disk refuses is not written again later.
            self._file = self.path.open("ab", buffering=0)
            self._reader = self.path.open("rb")
            self._end = self._read_places()

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, key: str) -> bool:
        return bytes.fromhex(key) in self._places

    def get(self, key: str) -> dict[str, Any] | None:
        """Return the reply under a digest, or None."""
        place = self._places.get(bytes.fromhex(key))
        if place is None:
            return None
        with self._writing:
            self._reader.seek(place)
            record: dict[str, Any] = json.loads(self._reader.readline())
        return record

    def put(self, key: str, record: dict[str, Any]) -> None:
        """Store a reply, on the disk when this returns. Raises StorageError."""
        line = json.dumps({KEY: key} | record, ensure_ascii=True).encode() + b"\n"
        with self._writing, named_refusals(self.path, OTHERWISE):
            if self._file.write(line) != len(line):
                self._file.truncate(self._end)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._file.fileno())
            self._places[bytes.fromhex(key)] = self._end
            self._end += len(line)

    def _read_places(self) -> int:
        """Find the stored replies, cut off half a line at the end, and return the file's size."""
        place = damaged = 0
        for line in self._reader:
            if not line.endswith(b"\n"):
                self._file.truncate(place)
                break
            try:
                self._places[bytes.fromhex(json.loads(line)[KEY])] = place
            except (ValueError, KeyError, TypeError, RecursionError):
                damaged += 1
            place += len(line)
        if damaged:
            logger.warning("%s: %d lines are damaged; asked again", self.path, damaged)
        return place

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()
        self._reader.close()
        self._lock_file.close()
