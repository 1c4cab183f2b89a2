"""Keep large arrays and tables in files without a name: they take no memory of their own."""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import DTypeLike, NDArray

from medsift.storage.reserve import reserve

LARGE: Final = 64 << 20
"""Bytes up to which an array is in memory all the same."""


def scratch_zeros(shape: tuple[int, ...], dtype: DTypeLike, folder: Path | None) -> NDArray[Any]:
    """Return an array of zeros; a large one is mapped from a file in `folder`.

    The file is gone when the array is, and when the process ends. Without a folder the array is in
    memory. Raises OSError when the disk refuses.
    """
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    if folder is None or size <= LARGE:
        return np.zeros(shape, dtype)
    folder.mkdir(parents=True, exist_ok=True)
    # The mapping outlives the file's name and handle.
    with tempfile.TemporaryFile(dir=folder) as file:
        reserve(file.fileno(), size)
        return np.memmap(file, dtype=dtype, mode="r+", shape=shape)


def scratch_table(parts: Iterable[pa.Table], schema: pa.Schema, folder: Path) -> pa.Table:
    """Write tables one after the other to a file in `folder`, and return them as one mapped table.

    The file is gone when the table is, and when the process ends. Raises OSError when the disk
    refuses.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file:
        with pa.ipc.new_file(file, schema) as writer:
            for part in parts:
                writer.write_table(part.cast(schema))
        file.flush()
        # The mapping outlives the file's name and handle.
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    table: pa.Table = pa.ipc.open_file(pa.BufferReader(pa.py_buffer(mapped))).read_all()
    return table
