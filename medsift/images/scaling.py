"""Scale pictures down to a number of pixels."""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image


def scaled(picture: Image, max_pixels: int | None) -> Image:
    """Return a picture with at most `max_pixels` pixels, its sides in proportion."""
    width, height = picture.size
    if max_pixels is None or width * height <= max_pixels:
        return picture
    from PIL.Image import Resampling

    shrink = sqrt(max_pixels / (width * height))
    size = max(1, int(width * shrink)), max(1, int(height * shrink))
    return picture.resize(size, Resampling.LANCZOS)
