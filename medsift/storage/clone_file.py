"""Copy a file inside the kernel, without its bytes where the file system can share them."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Final

_CANNOT: Final = (errno.ENOSYS, errno.EXDEV, errno.EOPNOTSUPP, errno.EINVAL, errno.ETXTBSY)


def clone_file(source: Path, target: Path) -> None:
    """Copy a file; on XFS, Btrfs and some network disks both files then share their blocks.

    Raises OSError when the disk refuses.
    """
    if not hasattr(os, "copy_file_range"):
        shutil.copyfile(source, target)
        return
    with source.open("rb") as read, target.open("wb") as written:
        left = os.fstat(read.fileno()).st_size
        try:
            while left > 0:
                copied = os.copy_file_range(read.fileno(), written.fileno(), left)
                if not copied:
                    break
                left -= copied
        except OSError as error:
            if error.errno not in _CANNOT:
                raise
        # What the kernel did not copy, as between two file systems.
        if left > 0:
            shutil.copyfile(source, target)
