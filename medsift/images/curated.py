"""Read a picture of a curated sample again, and refuse it when its pixels have changed."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Final

from PIL import Image

from medsift.errors import StorageError
from medsift.images.decoding import decode
from medsift.images.references import read_bytes
from medsift.images.settings import ImagesConfig

# The images stage has already refused pictures over the recipe's limits.
ANY_SIZE: Final = ImagesConfig(max_pixels=1 << 62, max_bytes=1 << 62)


def read_picture(ref: str, image_id: str) -> Image.Image:
    """Return the picture as a viewer shows it, in RGB.

    Raises:
        StorageError: The file is gone, or has other pixels than when the images stage decoded it.
    """
    try:
        decoded = decode(read_bytes(ref), PurePosixPath(ref).name, ANY_SIZE)
    except FileNotFoundError as error:
        words = f"{ref} is gone; put it back and run the same command again"
        raise StorageError(words, code="picture_changed", ref=ref) from error
    if decoded.image_id != image_id:
        words = f"{ref} shows another picture than when it was curated; leave the images unchanged"
        words += " and run again into a new --run-dir"
        raise StorageError(words, code="picture_changed", ref=ref, image_id=image_id)
    return decoded.image.convert("RGB")
