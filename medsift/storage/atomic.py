"""Write files and folders that appear complete or not at all.

A file is written under a hidden name in the same folder and renamed at the end. A writer that is
killed leaves that hidden file behind, and never half a file under the real name. What mirrors an
object store is uploaded before it gets its name here (`medsift.storage.mirror`).
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from medsift.storage.mirror import here, publish
from medsift.storage.partial_names import partial_name
from medsift.storage.refusals import named_refusals
from medsift.storage.stored_folder import publish_folder

RUN_DIR: Final = "choose another --run-dir"


@contextmanager
def atomic_file(path: Path, otherwise: str = RUN_DIR, code: str = "disk_refused") -> Iterator[Path]:
    """Yield a hidden name next to `path`; the file written there is renamed to `path`.

    Args:
        path: The file, whose folder is made where it is missing. An older one is replaced.
        otherwise: What the user may do besides freeing space, as an imperative.
        code: The error's code.

    Raises:
        StorageError: the disk refuses; `path` is as it was.
    """
    path = here(path)
    partial = partial_name(path)
    with named_refusals(path, otherwise, code):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            yield partial
            publish(partial, path)
            partial.replace(path)
        finally:
            # On a full or closed disk the error that ends the write is the one to report.
            with suppress(OSError):
                partial.unlink(missing_ok=True)


@contextmanager
def atomic_folder(
    path: Path, otherwise: str = RUN_DIR, code: str = "disk_refused"
) -> Iterator[Path]:
    """Yield a new hidden folder next to `path`; at the end it is renamed to `path`.

    An older folder is removed just before, so that for a moment there is none. Arguments and errors
    are those of `atomic_file`.
    """
    path = here(path)
    partial = partial_name(path)
    with named_refusals(path, otherwise, code):
        try:
            partial.mkdir(parents=True)
            yield partial
            publish_folder(partial, path)
            if path.exists():
                shutil.rmtree(path)
            partial.replace(path)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
