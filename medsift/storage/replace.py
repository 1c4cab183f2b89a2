"""Replace a file completely or not at all, while readers keep the old one.

A file of an object store is brought up to date, worked on here, and its pointer is swapped last.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from medsift.storage.lease import leased
from medsift.storage.lock_file import open_lock
from medsift.storage.mirror import here, key_of
from medsift.storage.pointer import refresh, swap
from medsift.storage.refusals import named_refusals
from medsift.storage.seals import sync


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a new name next to `path`; on success the file written there is renamed to `path`.

    A lock file, and in a store a lease, makes a second writer wait. Leftovers of a killed writer
    are removed. On any failure the new file is removed and `path` is as it was. Raises StorageError
    when the disk or the store refuses.
    """
    path = here(path)
    key = key_of(path)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    with named_refusals(path, "choose another folder"), ExitStack() as locks:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = locks.enter_context(open_lock(path.with_name(f".{path.name}.lock")))
        fcntl.flock(lock, fcntl.LOCK_EX)
        _sweep(path)
        if key is not None:
            name = f"{key.key}.lease"
            lease = locks.enter_context(leased(key.store, name, wait=True, what="writer"))
        before = refresh(path)
        try:
            yield partial
            # The bytes before the name: after a power cut the name never means half a file.
            sync(partial)
            if key is not None:
                lease.check()
                swap(path, partial, before)
            partial.replace(path)
            sync(path.parent)
        finally:
            _sweep(path)


def spill_folder(partial: Path) -> Path:
    """Return the folder where the writer of `partial` may spill; it is removed with `partial`."""
    return partial.with_name(f"{partial.name}.spill")


def _sweep(path: Path) -> None:
    """Remove unfinished files of `path`; the process with the lock is the only writer."""
    for leftover in path.parent.iterdir():
        name = leftover.name.removeprefix(f"{path.name}.")
        if name == leftover.name or ".partial" not in name:
            continue
        if leftover.is_dir():
            shutil.rmtree(leftover)
        else:
            leftover.unlink()
