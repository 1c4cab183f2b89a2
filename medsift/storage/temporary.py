"""Check the folder for temporary files before any work."""

from __future__ import annotations

import tempfile

from medsift.errors import StorageError


def check_temporary_folder() -> None:
    """Raise StorageError where no temporary file can be written, which many stages need."""
    try:
        tempfile.gettempdir()
    except OSError as error:
        raise StorageError(
            f"there is no usable temporary folder ({error.strerror}); free some space there, or "
            "set TMPDIR to a folder that can be written",
            code="disk_refused",
        ) from error
