"""Write files and folders that appear complete or not at all.

A file is written under a hidden name in the same folder and renamed at the end. A writer that is
killed leaves that hidden file behind, and never half a file under the real name.
"""

from __future__ import annotations

import errno
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final
from uuid import uuid4

from medsift.errors import StorageError

PARTIAL: Final = ".partial"
"""Suffix of everything unfinished."""
RUN_DIR: Final = "choose another --run-dir"
_FULL: Final = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
_CLOSED: Final = frozenset((errno.EACCES, errno.EPERM, errno.EROFS))


@contextmanager
def atomic_file(path: Path, otherwise: str = RUN_DIR, code: str = "disk_refused") -> Iterator[Path]:
    """Yield a hidden name next to `path`; the file written there is renamed to `path`.

    Args:
        path: The file, whose folder is made where it is missing. An older one is replaced.
        otherwise: What the user may do besides freeing space, as an imperative.
        code: The error's code.

    Raises:
        StorageError: the disk refuses; `path` is as it was.
    """
    partial = partial_name(path)
    with named_refusals(path, otherwise, code):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            yield partial
            partial.replace(path)
        finally:
            # On a full or closed disk the error that ends the write is the one to report.
            with suppress(OSError):
                partial.unlink(missing_ok=True)


@contextmanager
def atomic_folder(
    path: Path, otherwise: str = RUN_DIR, code: str = "disk_refused"
) -> Iterator[Path]:
    """Yield a new hidden folder next to `path`; at the end it is renamed to `path`.

    An older folder is removed just before, so that for a moment there is none. Arguments and errors
    are those of `atomic_file`.
    """
    partial = partial_name(path)
    with named_refusals(path, otherwise, code):
        try:
            partial.mkdir(parents=True)
            yield partial
            if path.exists():
                shutil.rmtree(path)
            partial.replace(path)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def named_refusals(path: Path, otherwise: str, code: str = "disk_refused") -> Iterator[None]:
    """Turn an OSError inside the block into a StorageError that names `path`."""
    try:
        yield
    except OSError as error:
        message = f"cannot write {path}: {error}; {next_step(error, otherwise)}"
        raise StorageError(message, code=code, path=str(path)) from error


def partial_name(path: Path) -> Path:
    """Return a hidden name next to `path` that no other writer uses.

    It ends in host and process, so that a clean-up can find out whether the writer still runs.
    """
    writer = f"{socket.gethostname()}.{os.getpid()}"
    return path.with_name(f".{path.name}.{uuid4().hex}.{writer}{PARTIAL}")


def next_step(error: OSError, otherwise: str) -> str:
    """Return what to do after a refusal to write; `otherwise` is an imperative."""
    if error.errno in _FULL:
        return f"free some space or {otherwise}"
    if error.errno in _CLOSED:
        return f"make it writable or {otherwise}"
    return otherwise
