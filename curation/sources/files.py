"""Find the input files of a source and fingerprint their content."""

from __future__ import annotations

import difflib
import fnmatch
import glob
import hashlib
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISBLK, S_ISCHR, S_ISFIFO, S_ISREG, S_ISSOCK
from typing import Any, Final

from medsift.errors import InputError
from medsift.storage.locations import (
    filesystem,
    is_remote,
    local_path,
    open_input,
    with_query,
    without_query,
)

WHOLE_HASH_BYTES: Final = 1 << 30
EDGE_BYTES: Final = 64 << 20
BLOCK_BYTES: Final = 1 << 20
WILDCARDS: Final = "*?["
KINDS: Final = (
    (S_ISFIFO, "a pipe"),
    (S_ISCHR, "a device"),
    (S_ISBLK, "a device"),
    (S_ISSOCK, "a socket"),
)
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class InputFile:
    """One file of a source: its name below the source's root, where it is, its size in bytes."""

    name: str
    uri: str
    size: int


def find(path: str, accepts: Callable[[str], bool]) -> list[InputFile]:
    """Return the files that `path` (file, folder, glob or URL) means, sorted by name.

    `accepts` decides by name which files of a folder are readable; a file named outright or by
    a glob is always taken. Raises InputError when there is none.
    """
    files = _find_remote(path, accepts) if is_remote(path) else _find_local(path, accepts)
    if not files:
        words = f"nothing to read at {path!r}: no file in it has a format of this reader"
        raise InputError(words, code="source_empty", path=path)
    return sorted(files, key=lambda file: file.name)


def root_of(path: str) -> str:
    """Return the folder that a source's file names and references are relative to."""
    if is_remote(path):
        return with_query(_remote_root(path), path)
    local = local_path(path)
    if local.is_dir():
        return str(local)
    if local.exists() or not glob.has_magic(str(local)):
        return str(local.parent)
    return str(_fixed_part(local))


def content_hash(uri: str, size: int) -> str:
    """Return the SHA-256 of a file; past 1 GiB of size, time of change, first and last 64 MiB."""
    from medsift.images.references import stat

    state = hashlib.sha256()
    with open_input(uri) as file:
        if size < WHOLE_HASH_BYTES:
            _feed(state, file, size)
        else:
            state.update(str(stat([uri])[0][1:]).encode())
            _feed(state, file, EDGE_BYTES)
            file.seek(size - EDGE_BYTES)
            _feed(state, file, EDGE_BYTES)
    return state.hexdigest()


def fingerprints(files: Iterable[InputFile]) -> list[tuple[str, int, str]]:
    """Return (name, size, content hash) of each file, sorted: the same in any listing order."""
    return sorted((file.name, file.size, content_hash(file.uri, file.size)) for file in files)


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint `; did you mean 'x'?` with the closest known name, or nothing."""
    by_fold = {item.casefold(): item for item in sorted(known, reverse=True)}
    match = difflib.get_close_matches(name.casefold(), by_fold, n=1)
    return f"; did you mean {by_fold[match[0]]!r}?" if match else ""


def _feed(state: Any, file: Any, count: int) -> None:
    while count > 0 and (block := file.read(min(BLOCK_BYTES, count))):
        state.update(block)
        count -= len(block)


def _find_local(path: str, accepts: Callable[[str], bool]) -> list[InputFile]:
    local = local_path(path)
    if local.is_dir():
        return [_entry(item, local) for item in walk(local) if accepts(item.name)]
    if os.path.lexists(local):
        return [_entry(local, local.parent)]
    if glob.has_magic(str(local)):
        root = _fixed_part(local)
        matches = root.glob(str(local.relative_to(root)))
        return [_entry(item, root) for item in matches if not item.is_dir()]
    if local.parent.is_dir():
        hint = nearest(local.name, [item.name for item in local.parent.iterdir()])
    else:
        hint = f": the folder {str(local.parent)!r} does not exist either"
    raise InputError(f"nothing at {path!r}{hint}", code="source_missing", path=path)


def walk(folder: Path) -> list[Path]:
    """Return every file below a folder in name order; hidden files and folders are left out."""
    files: list[Path] = []
    for place, folders, names in os.walk(folder, followlinks=False):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        files += [Path(place, name) for name in sorted(names) if not name.startswith(".")]
    return files


def _entry(item: Path, root: Path) -> InputFile:
    """Return the file as an input. Raises InputError for what would not end, or is not there."""
    path = str(item)
    try:
        state = item.stat()
    except OSError as error:
        kind = "a symbolic link to nothing" if item.is_symlink() else error.strerror
        words = f"{path!r} cannot be read: it is {kind}"
        raise InputError(words, code="file_unreadable", path=path, kind=kind) from error
    if not S_ISREG(state.st_mode):
        kind = next((name for test, name in KINDS if test(state.st_mode)), "no file")
        words = f"{path!r} is {kind}, not a file; write its content to one"
        raise InputError(words, code="file_unreadable", path=path, kind=kind)
    return InputFile(item.relative_to(root).as_posix(), str(item.absolute()), state.st_size)


def refuse_empty(source: str, path: str, files: Sequence[InputFile]) -> None:
    """Refuse empty files that `path` names or matches; in a folder they are only warned of.

    Whatever wrote them was cut short, or had no rows, which is usual for one part of many.
    """
    empty = [file.name for file in files if not file.size]
    if not empty:
        return
    if is_remote(path) or local_path(path).is_dir():
        words = "source %r: %d of %d files are empty, the first is %r"
        logger.warning(words, source, len(empty), len(files), empty[0])
        return
    words = f"{path!r} holds no records in {empty[0]!r}: the file is empty; remove it"
    raise InputError(words, code="file_empty", path=path, file=empty[0])


def _fixed_part(pattern: Path) -> Path:
    magic = next(at for at, part in enumerate(pattern.parts) if glob.has_magic(part))
    return Path(*pattern.parts[:magic])


def _remote_root(url: str) -> str:
    plain = without_query(url).rstrip("/")
    magic = [at for at in map(plain.find, WILDCARDS) if at >= 0]
    if magic:
        return plain[: plain.rindex("/", 0, min(magic))]
    store, path = filesystem(url)
    return plain if store.get_file_info(path).type.name == "Directory" else plain.rpartition("/")[0]


def _find_remote(path: str, accepts: Callable[[str], bool]) -> list[InputFile]:
    # urlsplit would take a glob's `?` for a query, so `*` and `[` are the wildcards of URLs.
    from pyarrow import fs

    store, inside = filesystem(path)
    try:
        info = store.get_file_info(inside)
        if info.is_file:
            return [InputFile(info.base_name, path, info.size)]
        root, pattern = inside, None
        if glob.has_magic(inside):
            first = min(at for at in map(inside.find, WILDCARDS) if at >= 0)
            root, pattern = inside[: inside.rindex("/", 0, first)], inside
        listing = store.get_file_info(fs.FileSelector(root, allow_not_found=True, recursive=True))
    except OSError as error:
        words = f"cannot list {path!r}: {error}"
        raise InputError(words, code="source_unlistable", path=path) from error
    prefix = path.partition("://")[0]
    files: list[InputFile] = []
    for item in (item for item in listing if item.is_file):
        if fnmatch.fnmatchcase(item.path, pattern) if pattern else accepts(item.base_name):
            name = item.path[len(root) :].lstrip("/")
            files.append(InputFile(name, with_query(f"{prefix}://{item.path}", path), item.size))
    return files
