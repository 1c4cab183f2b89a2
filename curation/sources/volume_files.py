"""Identify the files that volumes of a source may be read from."""

from __future__ import annotations

import hashlib

from curation.sources.files import find, walk
from curation.sources.reader import Reader
from medsift import records
from medsift.images.references import stat
from medsift.images.volumes.read import read_key
from medsift.storage.locations import is_remote, local_path


def volume_files(source: Reader) -> str:
    """Return a digest of name, size and time of change of every file below the pictures' folder.

    The key of identifiers counts as well. Raises InputError where that is missing.
    """
    root = source.images_under()
    refs = [] if root is None else _files(root)
    key = None if source.volumes is None else read_key(source.volumes)
    digest = None if key is None else hashlib.sha256(b"medsift" + key).hexdigest()
    return records.fingerprint([stat(refs), digest])


def _files(root: str) -> list[str]:
    if is_remote(root):
        return [file.uri for file in find(root, lambda name: True)]
    # Links to nothing and pipes are no concern here: a row that names one fails alone.
    return [str(path) for path in walk(local_path(root))]
