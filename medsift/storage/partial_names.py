"""Name unfinished files, so that no two writers share one, and remove those of ended writers."""

from __future__ import annotations

import os
import re
import shutil
import socket
from collections.abc import Collection
from pathlib import Path
from typing import Final
from uuid import uuid4

PARTIAL: Final = ".partial"
"""Suffix of everything unfinished."""
NAME: Final = re.compile(r"\..+\.[0-9a-f]{32}\.(?P<host>.+)\.(?P<process>\d+)\.partial")


def partial_name(path: Path) -> Path:
    """Return a hidden name next to `path` that no other writer uses.

    It ends in host and process, so that a clean-up can find out whether the writer still runs.
    """
    writer = f"{socket.gethostname()}.{os.getpid()}"
    return path.with_name(f".{path.name}.{uuid4().hex}.{writer}{PARTIAL}")


def writer_is_gone(name: str) -> bool:
    """Return whether the process in an unfinished file's name ran on this host and has ended."""
    writer = NAME.fullmatch(name)
    if writer is None or writer["host"] != socket.gethostname():
        return False
    try:
        os.kill(int(writer["process"]), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False


def remove_abandoned(folder: Path, but: Collection[str] = ()) -> None:
    """Remove unfinished files and folders of ended writers anywhere below a folder.

    Args:
        folder: Where to look.
        but: Names of folders directly in it that are left alone.
    """
    for inner, folders, files in os.walk(folder):
        here = Path(inner)
        gone = {name for name in (*folders, *files) if writer_is_gone(name)}
        for name in gone.intersection(folders):
            shutil.rmtree(here / name, ignore_errors=True)
        for name in gone.intersection(files):
            (here / name).unlink(missing_ok=True)
        left_alone = but if here == folder else ()
        folders[:] = [name for name in folders if name not in gone and name not in left_alone]
