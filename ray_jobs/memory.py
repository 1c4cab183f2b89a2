"""Limit the memory of this process, for work that a library's own limit does not cover."""

from __future__ import annotations

import re
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

SPARE_BYTES: Final = 512 << 20
"""What the program itself may need while the limited work runs."""
_UNITS: Final = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}


def parse_bytes(size: str) -> int | None:
    """Return the bytes of a size such as "4GB" or "512 MB"; None for another text."""
    parts = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?b?)\s*", size, re.IGNORECASE)
    unit = _UNITS.get(parts[2].lower()) if parts else None
    return None if parts is None or unit is None else int(float(parts[1]) * unit) or None


@contextmanager
def memory_ceiling(size: int) -> Iterator[None]:
    """Let the process allocate `size` bytes more, and `SPARE_BYTES`, while the block runs.

    DuckDB counts what it caches, sorts and joins, but not the value of one function, which alone
    may exceed the machine. Beyond the limit that function fails with OutOfMemoryException. There is
    no limit where the system does not report what a process uses.
    """
    status = Path("/proc/self/status")
    used = None
    if status.is_file():
        used = re.search(r"^VmData:\s+(\d+) kB", status.read_text(), re.MULTILINE)
    if used is None:
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = int(used[1]) * 1024 + size + SPARE_BYTES
    if before[0] != resource.RLIM_INFINITY:
        wanted = min(wanted, before[0])
    resource.setrlimit(resource.RLIMIT_DATA, (wanted, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)
