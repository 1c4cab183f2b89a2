"""Pictures on their way to the model: read as curation saw them, scaled down where too large."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from medsift.images.curated import read_picture
from training.samples import Picture

if TYPE_CHECKING:
    from PIL.Image import Image


def load_picture(picture: Picture, max_pixels: int | None) -> Image:
    """The picture in RGB, of at most `max_pixels`.

    Raises StorageError when it is gone or shows other pixels than when it was curated.
    """
    from PIL.Image import Resampling

    found = read_picture(picture.ref, picture.image_id)
    size = limited(*found.size, max_pixels)
    return found if size == found.size else found.resize(size, Resampling.BICUBIC)


def limited(width: int, height: int, max_pixels: int | None) -> tuple[int, int]:
    """Width and height scaled down together, so that their product is at most `max_pixels`."""
    if max_pixels is None or width * height <= max_pixels:
        return width, height
    share = math.sqrt(max_pixels / (width * height))
    return max(1, int(width * share)), max(1, int(height * share))
