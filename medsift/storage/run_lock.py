"""Lock a run directory, so that only one process writes to it at a time."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from medsift.errors import StorageError, UsageError
from medsift.storage.atomic import next_step
from medsift.storage.local_paths import require_local

logger = logging.getLogger(__name__)
NEVER_FOLLOWED: Final = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@contextmanager
def claimed(run_dir: Path, *, wait: bool = False, what: str = "run or selection") -> Iterator[None]:
    """Lock a run directory inside the block; it is created where it is missing.

    The lock ends with the process, however that ends. With `wait`, a directory that another process
    has locked is waited for. `what` names the work in messages.

    Raises:
        UsageError: another process has locked it and `wait` is off, or it cannot be used.
        StorageError: the disk refuses.
    """
    require_local(run_dir)
    if "?" in str(run_dir.absolute()):
        # DuckDB looks for the log of a database "a?b/m.duckdb" under "a.wal?b/m.duckdb".
        message = (
            f"{str(run_dir)!r} contains a question mark, where DuckDB cannot keep a database; "
            "choose another --run-dir"
        )
        raise UsageError(message, code="run_directory_unusable", path=str(run_dir))
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        lock = open_lock(run_dir / "lock")
    except (FileExistsError, NotADirectoryError, PermissionError) as error:
        message = f"cannot use {run_dir} as run directory: {error}"
        raise UsageError(message, code="run_directory_unusable", path=str(run_dir)) from error
    except OSError as error:
        raise StorageError(
            f"cannot write to {run_dir}: {error}; {next_step(error, 'choose another --run-dir')}",
            code="disk_refused",
            path=str(run_dir),
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if not wait:
                message = (
                    f"another {what} is at work in {run_dir}: wait for it, or choose another "
                    "--run-dir"
                )
                raise UsageError(message, code="run_directory_busy", path=str(run_dir)) from error
            logger.warning("another %s is at work in %s: waiting for it", what, run_dir)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def open_lock(path: Path) -> IO[bytes]:
    """Open a lock file for `flock`; it is created where it is missing, and its content stays.

    A run directory may come from anyone: a link of that name would point to a file outside, and
    opening a pipe would wait for ever. Raises OSError for both, as for any refusal.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | NEVER_FOLLOWED, 0o666)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "not a plain file; remove it", str(path))
    return os.fdopen(handle, "r+b")
