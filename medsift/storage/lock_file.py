"""Open the files that processes of one machine lock."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import IO, Final

NEVER_FOLLOWED: Final = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


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
