"""Check that this interpreter can run MedSift at all, and report in one line if not.

A job runs under an interpreter that a user named, on a machine that nobody has checked. Only the
standard library is imported here, in a syntax that an older Python reads.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from importlib import metadata

MIN_VERSION = (3, 11)
EXIT_CODE = 2
CODE = "interpreter_unfit"
JOB_MARKERS = ("", 'extra == "cluster"', 'extra == "curate"')
"""Markers of what every job needs: a worker decodes and encodes, whatever the command is."""
NAME = re.compile(r"[A-Za-z0-9._-]+")


def complaint() -> str | None:
    """Return why this interpreter cannot run MedSift, and the fix; None where it can."""
    version = ".".join(map(str, sys.version_info[:2]))
    if sys.version_info[:2] < MIN_VERSION:
        return with_fix(f"is Python {version}, and {'.'.join(map(str, MIN_VERSION))} is needed")
    try:
        # A requirement with another marker is not needed on every system.
        needed = [
            line.partition(";")[0]
            for line in metadata.requires("medsift") or []
            if line.partition(";")[2].strip().replace("'", '"') in JOB_MARKERS
        ]
    except metadata.PackageNotFoundError:
        # A bare folder of code lists no requirements: an import shows what is missing.
        return None
    names = [match.group() for match in map(NAME.match, needed) if match]
    missing = sorted({name for name in names if not _is_installed(name)})
    return with_fix(f"has no {', '.join(missing)}") if missing else None


def with_fix(fault: str) -> str:
    """Return a fault of this interpreter in one line, with the fix."""
    return (
        f"{sys.executable} {fault}; install what is missing there (pip install 'medsift[all]'), or "
        "name an interpreter that has it (medsift submit … --python)"
    )


def _is_installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return importlib.util.find_spec(name.replace("-", "_")) is not None
    return True
