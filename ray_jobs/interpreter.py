"""Whether this interpreter can run MedSift at all, said in one line.

A job runs under an interpreter that somebody named, on a machine that nobody looked at. Nothing
but the standard library is imported here, and nothing that an older Python could not read.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from importlib import metadata

LEAST = (3, 11)
EXIT_CODE = 2
NAME = re.compile(r"[A-Za-z0-9._-]+")


def lacking(package: str = "medsift") -> list[str]:
    """Distributions that a package needs on every system and that are not installed here."""
    needed = [line for line in metadata.requires(package) or [] if ";" not in line]
    names = [found.group() for found in map(NAME.match, needed) if found]
    return [name for name in names if not _is_there(name)]


def complaint() -> str | None:
    """What keeps this interpreter from running MedSift, and what helps; None where nothing does."""
    version = ".".join(map(str, sys.version_info[:2]))
    if sys.version_info[:2] < LEAST:
        return _line(f"is Python {version}, and {'.'.join(map(str, LEAST))} is needed")
    try:
        missing = lacking()
    except metadata.PackageNotFoundError:
        # A bare folder of code lists no needs; what is missing shows by its import.
        return None
    return _line(f"has no {', '.join(missing)}") if missing else None


def import_complaint(error: ModuleNotFoundError) -> str:
    """The same of an import that failed."""
    return _line(f"has no {error.name}")


def _line(fault: str) -> str:
    return (
        f"{sys.executable} {fault}; install what is missing there (pip install medsift), or name "
        "an interpreter that has it (medsift submit … --python)"
    )


def _is_there(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return importlib.util.find_spec(name.replace("-", "_")) is not None
    return True
