"""Define a decoded picture, and refuse sizes outside the limits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from medsift import records
from medsift.images.damage import ImageError
from medsift.images.display import percentile_window, windowed
from medsift.images.settings import ImagesConfig


@dataclass(frozen=True, slots=True)
class Decoded:
    """A picture in two forms: as a viewer shows it, and as it was stored.

    `image` is upright, 8 bits, mode L or RGB. `stored` are the pixels that make up its identity:
    uint8 (h, w) or (h, w, 3), or the deeper values of a 16-bit, float or DICOM picture, unscaled.
    `mode` and `bit_depth` (bits a channel) describe the file.
    """

    image: Image.Image
    stored: NDArray[np.generic]
    mode: str
    bit_depth: int
    format: str
    notes: tuple[str, ...]

    @property
    def image_id(self) -> str:
        """Return the SHA-256 of type, shape and values of the stored pixels, and their display.

        File format, compression level, metadata and a needless palette or copied grey channels
        do not change it; one different pixel or another bit depth does. The shown picture counts
        where it differs from that of plain pixels of these values: a DICOM window, table or
        palette, a rescale before a table, and white for the lowest value.
        """
        pixels = self.stored.astype(self.stored.dtype.newbyteorder("<"), copy=False)
        shape = "x".join(str(side) for side in pixels.shape)
        parts = ["image", pixels.dtype.str, shape, pixels.tobytes()]
        shown = np.asarray(self.image)
        deep = self.stored.dtype != np.uint8 and self.stored.ndim == 2
        plain = windowed(self.stored, *percentile_window(self.stored)) if deep else self.stored
        if not np.array_equal(shown, plain):
            parts += ["shown", self.image.mode, shown.tobytes()]
        return records.digest(*parts)


def check_size(width: int, height: int, name: str, config: ImagesConfig) -> None:
    """Refuse sizes outside the limits.

    Args:
        width: in pixels.
        height: in pixels.
        name: what errors call the picture.
        config: has the limits, `max_pixels` on the product and `min_side` on the shorter side.

    Raises:
        ImageError: image_too_large or image_too_small.
    """
    words = f"{name} is {width} x {height} pixels"
    if width * height > config.max_pixels:
        words += (
            f", at most {config.max_pixels} are allowed; raise images.max_pixels if the file is"
        )
        raise ImageError("image_too_large", f"{words} trusted")
    if min(width, height) < config.min_side:
        words += f", the shorter side must have at least {config.min_side}; lower images.min_side"
        raise ImageError("image_too_small", f"{words} to keep it")
