"""Report what a disk refuses as one line that names the file and what to do."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from medsift.errors import StorageError

_FULL: Final = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
_CLOSED: Final = frozenset((errno.EACCES, errno.EPERM, errno.EROFS))


@contextmanager
def named_refusals(path: Path, otherwise: str, code: str = "disk_refused") -> Iterator[None]:
    """Turn an OSError inside the block into a StorageError that names `path`."""
    try:
        yield
    except OSError as error:
        message = f"cannot write {path}: {error}; {next_step(error, otherwise)}"
        raise StorageError(message, code=code, path=str(path)) from error


@contextmanager
def named_full_disks(folder: Path, otherwise: str) -> Iterator[None]:
    """Turn an OSError of a full disk inside the block into a StorageError; all others pass.

    Around a whole command, for what no part of it has named: a file may be refused at its close, or
    while an earlier refusal is on its way.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        place = error.filename or folder
        message = f"cannot write {place}: {error}; {next_step(error, otherwise)}"
        raise StorageError(message, code="disk_refused", path=str(place)) from error


def next_step(error: OSError, otherwise: str) -> str:
    """Return what to do after a refusal to write; `otherwise` is an imperative."""
    if error.errno in _FULL:
        return f"free some space or {otherwise}"
    if error.errno in _CLOSED:
        return f"make it writable or {otherwise}"
    return otherwise
