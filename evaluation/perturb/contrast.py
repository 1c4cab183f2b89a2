"""`contrast`: grey levels drawn together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
from PIL import Image

from evaluation.perturb.item import ItemRow
from evaluation.perturb.perturbation import Picture, PictureVariant

FACTORS: Final = {1: 0.4, 2: 0.3, 3: 0.2}
"""Share of the contrast that stays, by level.

Severities 1 to 3 of Hendrycks & Dietterich 2019 (arXiv 1903.12261), ImageNet-C.
"""


@dataclass(frozen=True, slots=True)
class Contrast(PictureVariant):
    """Every channel drawn towards its mean."""

    family: ClassVar[str] = "contrast"
    levels: ClassVar[tuple[int, ...]] = tuple(FACTORS)

    def picture(self, picture: Picture, item: ItemRow, seed: int) -> Picture:
        """The picture with less contrast."""
        pixels = np.asarray(picture, np.float64)
        mean = pixels.mean(axis=(0, 1), keepdims=True)
        drawn = (pixels - mean) * FACTORS[self.level] + mean
        return Image.fromarray(np.rint(np.clip(drawn, 0, 255)).astype(np.uint8))
