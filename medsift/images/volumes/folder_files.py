"""List the files of a volume: of a folder, of a DICOMDIR, or one file alone."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from medsift.errors import InputError
from medsift.images.damage import ImageError, foreign_bytes
from medsift.images.references import read_bytes, resolve
from medsift.storage.locations import (
    filesystem,
    is_remote,
    local_path,
    with_query,
    without_query,
)

if TYPE_CHECKING:
    from medsift.images.settings import ImagesConfig

DICOMDIR: Final = "DICOMDIR"
MOST_FILES: Final = 20_000


def is_folder(ref: str) -> bool:
    """Return whether a resolved reference is a folder."""
    if not is_remote(ref):
        return local_path(ref).is_dir()
    store, path = filesystem(ref)
    return bool(store.get_file_info(path).type.name == "Directory")


def files_of_folder(ref: str) -> list[str]:
    """Return every file below a folder by name, without hidden ones and links that lead out.

    Raises:
        ImageError: image_too_large for a folder of more files than a volume has.
    """
    names = _remote_names(ref) if is_remote(ref) else _local_names(ref)
    if len(names) > MOST_FILES:
        words = f"{ref} has more than {MOST_FILES} files; name the folder of one series"
        raise ImageError("image_too_large", words)
    return [path for name in sorted(names) if (path := _inside(name, ref)) is not None]


def files_of_dicomdir(ref: str, config: ImagesConfig) -> list[str]:
    """Return the files that a DICOMDIR lists as pictures, in its order.

    Raises:
        ImageError: image_truncated, or image_missing where it lists none.
    """
    import io

    import pydicom

    from medsift.images.dicom_file import KIND, BoundedReads

    data = read_bytes(ref, config.max_bytes)
    folder = without_query(ref).rpartition("/")[0]
    folder = with_query(folder, ref) if is_remote(ref) else folder
    names: list[str] = []
    with foreign_bytes(ref, KIND):
        directory = pydicom.dcmread(BoundedReads(io.BytesIO(data), ref))
        for record in directory.get("DirectoryRecordSequence") or ():
            named = record.get("ReferencedFileID")
            if record.get("DirectoryRecordType") == "IMAGE" and named:
                names.append(named if isinstance(named, str) else "/".join(named))
    listed = [path for name in names if (path := _inside(name, folder)) is not None]
    if not listed:
        raise ImageError("image_missing", f"{ref} lists no pictures below its folder")
    return listed


def _inside(name: str, folder: str) -> str | None:
    try:
        return resolve(name, folder)
    except InputError:
        return None


def _local_names(ref: str) -> list[str]:
    root = str(local_path(ref))
    names: list[str] = []
    for place, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        below = os.path.relpath(place, root)
        names += [os.path.normpath(f"{below}/{name}") for name in files if name[0] != "."]
        if len(names) > MOST_FILES:
            break
    return names


def _remote_names(ref: str) -> list[str]:
    from pyarrow import fs

    store, path = filesystem(ref)
    listing = store.get_file_info(fs.FileSelector(path, recursive=True))
    return [item.path[len(path) :].lstrip("/") for item in listing if item.is_file]
