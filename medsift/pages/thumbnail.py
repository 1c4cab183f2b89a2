"""Draw a small JPEG of a picture for embedding in a page."""

from __future__ import annotations

import base64
import io
from typing import Final

from medsift.errors import InputError, StorageError
from medsift.images import ImageError, ImagesConfig, decode
from medsift.images.references import read_bytes

SIDE: Final = 128
"""Pixels on the longer side."""
QUALITY: Final = 80
LIMITS: Final = ImagesConfig()


def thumbnail(ref: str, side: int = SIDE) -> tuple[str | None, str | None]:
    """Return a JPEG data URI of at most `side` pixels a side, or None and the reason."""
    try:
        decoded = decode(read_bytes(ref, LIMITS.max_bytes), ref, LIMITS)
    except FileNotFoundError:
        return None, "file not found"
    except (InputError, StorageError) as error:
        return None, error.reason if isinstance(error, ImageError) else "not readable"
    small = decoded.image
    small.thumbnail((side, side))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii"), None
