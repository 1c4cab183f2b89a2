"""Decode and measure one picture: all its facts, or the reason why it cannot be used."""

from __future__ import annotations

import hashlib
from pathlib import PurePosixPath
from typing import Any

from PIL import Image

from medsift import records
from medsift.images.damage import ImageError
from medsift.images.decoding import decode
from medsift.images.facts import facts
from medsift.images.settings import ImagesConfig


def inspect(
    ref: str, data: bytes | None, config: ImagesConfig
) -> tuple[dict[str, Any], Image.Image | None]:
    """Return all ``IMAGES`` fields of one file, and the picture as shown (8 bits, L or RGB).

    `data` is None for a file that is missing. A file that cannot be decoded has `error` (a reason
    code), `detail`, no facts and no picture; a missing file has the byte hash "".
    """
    row = unread_row(ref, data)
    if data is None:
        detail = f"no file at {ref}; add it or remove its row"
        return row | {"error": "image_missing", "detail": detail}, None
    try:
        decoded = decode(data, PurePosixPath(ref).name, config)
    except ImageError as error:
        return row | {"error": error.reason, "detail": error.detail}, None
    return row | facts(decoded), decoded.image


def unread_row(ref: str, data: bytes | None) -> dict[str, Any]:
    """Return the ``IMAGES`` fields that are known of a file before it is decoded."""
    row: dict[str, Any] = dict.fromkeys(records.IMAGES.names)
    row |= {"ref": ref, "byte_hash": "", "notes": []}
    if data is not None:
        row |= {"byte_hash": hashlib.sha256(data).hexdigest(), "size_bytes": len(data)}
    return row
