"""`noise`: Gaussian noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
from PIL import Image

from evaluation.perturb.item import ItemRow
from evaluation.perturb.perturbation import Picture, PictureVariant

DEVIATIONS: Final = {1: 0.08, 2: 0.12, 3: 0.18}
"""Standard deviation by level, as a share of the grey range.

Severities 1 to 3 of Hendrycks & Dietterich 2019 (arXiv 1903.12261), ImageNet-C.
"""


@dataclass(frozen=True, slots=True)
class Noise(PictureVariant):
    """Gaussian noise, independent in every pixel and channel."""

    family: ClassVar[str] = "noise"
    levels: ClassVar[tuple[int, ...]] = tuple(DEVIATIONS)

    def picture(self, picture: Picture, item: ItemRow, seed: int) -> Picture:
        """The noisy picture; the same for the same item and seed."""
        pixels = np.asarray(picture, np.float64)
        noise = self.random(item, seed).normal(0.0, DEVIATIONS[self.level] * 255.0, pixels.shape)
        return Image.fromarray(np.rint(np.clip(pixels + noise, 0, 255)).astype(np.uint8))
