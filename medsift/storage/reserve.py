"""Reserve the space of files that are mapped and written: a full disk is then an error.

A write to a mapped page for which the disk has no room ends the process by SIGBUS.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import DTypeLike


def reserve(descriptor: int, size: int) -> None:
    """Give an open file `size` bytes of the disk.

    Raises OSError when the disk has no room. Where the system cannot reserve, the file gets its
    size alone.
    """
    if size == 0:
        return
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
    else:
        os.truncate(descriptor, size)


def create_mapped_array(path: Path, dtype: DTypeLike, shape: tuple[int, ...]) -> np.memmap:
    """Create a `.npy` file of zeros that is mapped and can be written. Raises OSError."""
    array = open_memmap(path, mode="w+", dtype=np.dtype(dtype), shape=shape)
    # Creating it wrote the header alone.
    with path.open("r+b") as file:
        reserve(file.fileno(), path.stat().st_size)
    return array
