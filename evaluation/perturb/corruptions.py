"""`noise`, `blur`, `contrast` and `jpeg`: pictures made worse in three levels.

They are severities 1 to 3 of Hendrycks & Dietterich 2019 (arXiv 1903.12261), ImageNet-C.
"""

from __future__ import annotations

import io
from typing import ClassVar, Final

import numpy as np
from PIL import Image, ImageFilter

from evaluation.perturb.item import ItemRow
from evaluation.perturb.perturbation import Picture, Variant

NOISE: Final = {1: 0.08, 2: 0.12, 3: 0.18}
"""Standard deviation of noise by level, as a share of the grey range."""
BLUR: Final = {1: 1.0, 2: 2.0, 3: 3.0}
"""Standard deviation of blur by level, in pixels of a picture whose shorter side has `SIDE`."""
SIDE: Final = 224
CONTRAST: Final = {1: 0.4, 2: 0.3, 3: 0.2}
"""Share of the contrast that stays, by level."""
QUALITY: Final = {1: 25, 2: 18, 3: 15}
"""JPEG quality by level."""


class Noise(Variant):
    """Gaussian noise, independent in every pixel and channel."""

    family: ClassVar[str] = "noise"
    levels: ClassVar[tuple[int, ...]] = tuple(NOISE)

    def picture(self, picture: Picture, item: ItemRow, seed: int) -> Picture:
        """The noisy picture; the same for the same item and seed."""
        pixels = np.asarray(picture, np.float64)
        noise = self.random(item, seed).normal(0.0, NOISE[self.level] * 255.0, pixels.shape)
        return Image.fromarray(np.rint(np.clip(pixels + noise, 0, 255)).astype(np.uint8))


class Blur(Variant):
    """Gaussian blur in proportion to the shorter side, so that large pictures lose as much."""

    family: ClassVar[str] = "blur"
    levels: ClassVar[tuple[int, ...]] = tuple(BLUR)

    def picture(self, picture: Picture, item: ItemRow, seed: int) -> Picture:
        """The blurred picture."""
        radius = BLUR[self.level] * min(picture.size) / SIDE
        return picture.filter(ImageFilter.GaussianBlur(radius))


class Contrast(Variant):
    """Every channel drawn towards its mean."""

    family: ClassVar[str] = "contrast"
    levels: ClassVar[tuple[int, ...]] = tuple(CONTRAST)

    def picture(self, picture: Picture, item: ItemRow, seed: int) -> Picture:
        """The picture with less contrast."""
        pixels = np.asarray(picture, np.float64)
        mean = pixels.mean(axis=(0, 1), keepdims=True)
        drawn = (pixels - mean) * CONTRAST[self.level] + mean
        return Image.fromarray(np.rint(np.clip(drawn, 0, 255)).astype(np.uint8))


class Jpeg(Variant):
    """The picture after lossy compression and back."""

    family: ClassVar[str] = "jpeg"
    levels: ClassVar[tuple[int, ...]] = tuple(QUALITY)

    def picture(self, picture: Picture, item: ItemRow, seed: int) -> Picture:
        """The picture with JPEG's artefacts."""
        packed = io.BytesIO()
        picture.save(packed, "JPEG", quality=QUALITY[self.level])
        with Image.open(packed) as unpacked:
            return unpacked.copy()
