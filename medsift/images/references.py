"""Resolve references to pictures, and read the bytes behind them."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from posixpath import normpath
from stat import S_ISREG
from typing import Any, Final
from urllib.parse import urlsplit

from medsift.errors import InputError, StorageError
from medsift.storage.locations import (
    REMOTE,
    filesystem,
    is_remote,
    local_path,
    open_input,
    scheme,
    with_query,
    without_query,
)
from medsift.text import shown

ASKED_AT_ONCE: Final = 32
PIECE: Final = 1 << 20


def resolve(ref: str, image_root: str | None) -> str:
    """Return the absolute path or URL that a record's reference means, never outside `image_root`.

    A relative reference is taken under `image_root` (a path or URL); symbolic links count by
    where they lead, except links of the hub's cache into its own blobs. Data may not name a bucket
    or host of its own: without a root nothing can be resolved, and a URL only under a root that is
    its parent. Under a folder, a name that is not there is also looked for in the other Unicode
    form (NFC or NFD) and with ``/`` for each backslash. Raises InputError when the reference
    escapes the root or cannot be served.
    """
    if "\0" in ref:
        raise _invalid(ref, " holds a NUL character")
    kind = scheme(ref)
    if kind and kind != "file" and kind not in REMOTE:
        raise _invalid(ref, f": {kind}:// is not fetched; download the image first", scheme=kind)
    if image_root is None:
        raise _invalid(ref, " is relative to image_root, which is not set; set image_root")
    try:
        if is_remote(image_root):
            return _under_url(ref, image_root)
        if is_remote(ref):
            words = f" leads outside image_root {image_root!r}; make image_root a URL"
            raise _invalid(ref, words, image_root=image_root)
        return _under_folder(ref, image_root)
    except ValueError as error:  # the standard library, about "file://[x" and lone surrogates
        raise _invalid(ref, f" is no path and no URL: {error}") from error


def _invalid(ref: str, words: str, **values: str) -> InputError:
    return InputError(f"reference {shown(ref)}{words}", code="image_reference_invalid", **values)


class TooManyBytes(InputError):
    """A file has more bytes than may be read."""


def read_bytes(ref: str, limit: int | None = None) -> bytes:
    """Read the bytes of a resolved reference, at most `limit`.

    Raises FileNotFoundError when nothing is there, StorageError when the store refuses, and
    TooManyBytes, as `digest_bytes` does.
    """
    with _opened(ref, limit) as file:
        data: bytes = file.read() if limit is None else file.read(limit + 1)
        _check_bytes(ref, len(data), limit)
    return data


def digest_bytes(ref: str, limit: int | None = None) -> tuple[str, int]:
    """Return SHA-256 (hex) and size of a resolved reference, read piece by piece.

    Raises FileNotFoundError when nothing is there, StorageError when the store refuses, and
    TooManyBytes before anything is read where the size is known, else at the byte past `limit`.
    """
    digest, size = hashlib.sha256(), 0
    with _opened(ref, limit) as file:
        while piece := file.read(PIECE):
            size += len(piece)
            _check_bytes(ref, size, limit)
            digest.update(piece)
    return digest.hexdigest(), size


@contextmanager
def _opened(ref: str, limit: int | None) -> Iterator[Any]:
    """Open a file; errors while it is read name the reference."""
    try:
        with open_input(ref) as file:
            if limit is not None:
                # A store answers by a method, the disk by its file descriptor.
                known = callable(getattr(file, "size", None))
                size = file.size() if known else os.fstat(file.fileno()).st_size
                _check_bytes(ref, int(size), limit)
            yield file
    except (FileNotFoundError, IsADirectoryError) as error:
        raise FileNotFoundError(f"no file at {ref!r}") from error
    except OSError as error:
        raise StorageError(f"cannot read {ref!r}: {error}", code="picture_unreadable") from error


def _check_bytes(ref: str, size: int, limit: int | None) -> None:
    if limit is not None and size > limit:
        words = f"{ref} has {size} bytes or more, at most {limit} are read; raise images.max_bytes"
        raise TooManyBytes(f"{words} if the file is trusted", code="image_too_large")


def stat(refs: Iterable[str]) -> list[tuple[str, int, float]]:
    """Return (reference, bytes, modification time in seconds) of each; -1 bytes without a file.

    A folder or a pipe counts as no file. Raises StorageError when an object store refuses.
    """
    listed = list(refs)
    if not any(is_remote(ref) for ref in listed):
        return [_stat(ref) for ref in listed]
    # Object stores answer many requests in the time of one; a disk is fastest in sequence.
    with ThreadPoolExecutor(ASKED_AT_ONCE) as workers:
        return list(workers.map(_stat, listed))


def _stat(ref: str) -> tuple[str, int, float]:
    if not is_remote(ref):
        try:
            state = Path(local_path(ref)).stat()
        except (OSError, ValueError):
            return ref, -1, 0.0
        return (ref, state.st_size, state.st_mtime) if S_ISREG(state.st_mode) else (ref, -1, 0.0)
    store, path = filesystem(ref)
    try:
        info = store.get_file_info(path)
    except OSError as error:
        raise StorageError(f"cannot look at {ref!r}: {error}", code="picture_unreadable") from error
    return (ref, int(info.size), (info.mtime_ns or 0) / 1e9) if info.is_file else (ref, -1, 0.0)


def _under_folder(ref: str, image_root: str) -> str:
    root = _real_root(image_root)
    plain = str(local_path(ref)) if scheme(ref) else ref
    target = _inside(root, plain)
    # Looking on the disk costs as much as resolving, so plain names are not looked up.
    if not plain.isascii() or "\\" in plain:
        slashes = plain.replace("\\", "/")
        forms = [unicodedata.normalize(form, slashes) for form in ("NFC", "NFD")]
        spellings = (_inside(root, other) for other in (slashes, *forms) if other != plain)
        existing = (other for other in (target, *spellings) if other and os.path.exists(other))  # noqa: PTH110
        target = next(existing, target)
    if target is not None:
        return target
    path = os.path.normpath(os.path.join(root, plain))  # noqa: PTH118
    if not _below(path, root):
        words = f" leads outside image_root {image_root!r}"
        raise _invalid(ref, words, image_root=image_root)
    target = os.path.realpath(path)
    words = f" is or passes a symbolic link to {target!r}, outside image_root {image_root!r}; set"
    words += " image_root to a folder that holds both, or put the files in place of the links"
    raise _invalid(ref, words, image_root=image_root, link_target=target)


def _inside(root: str, plain: str) -> str | None:
    path = os.path.join(root, plain)  # noqa: PTH118 - 3x faster
    target = os.path.realpath(path)
    return target if _below(target, root) or _in_hub_cache(path, target, root) else None


def _below(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip(os.sep) + os.sep)


def _in_hub_cache(path: str, target: str, root: str) -> bool:
    """Return whether a link below the root leads to a blob of its own repository in the cache.

    The cache holds `REPOSITORY/snapshots/REVISION/…` as links to `REPOSITORY/blobs/HASH`. The link
    itself must be below the root, and its target in that one folder.
    """
    repository, mark, _ = f"{root}{os.sep}".rpartition(f"{os.sep}snapshots{os.sep}")
    blobs = f"{repository}{os.sep}blobs"
    plain = _below(os.path.normpath(path), root)
    return bool(mark) and plain and target.rpartition(os.sep)[0] == blobs


@lru_cache(maxsize=256)
def _real_root(image_root: str) -> str:
    return os.path.realpath(local_path(image_root))


def _under_url(ref: str, image_root: str) -> str:
    root = without_query(image_root).rstrip("/")
    plain = f"{root}/{ref}" if not scheme(ref) else ref
    if ref.startswith("/") or "?" in ref or not _normal(plain).startswith(root + "/"):
        raise _invalid(ref, f" leads outside image_root {root!r}", image_root=root)
    return with_query(_normal(plain), image_root)


def _normal(url: str) -> str:
    parts = urlsplit(url)
    path = normpath(parts.path or "/")
    return f"{parts.scheme}://{parts.netloc}{path}"
