"""`blur`: Gaussian blur."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from PIL import ImageFilter

from evaluation.perturb.item import ItemRow
from evaluation.perturb.perturbation import Picture, PictureVariant

DEVIATIONS: Final = {1: 1.0, 2: 2.0, 3: 3.0}
"""Standard deviation by level, in pixels of a picture whose shorter side has `SIDE` of them.

Severities 1 to 3 of Hendrycks & Dietterich 2019 (arXiv 1903.12261), ImageNet-C.
"""
SIDE: Final = 224


@dataclass(frozen=True, slots=True)
class Blur(PictureVariant):
    """Gaussian blur in proportion to the shorter side, so that large pictures lose as much."""

    family: ClassVar[str] = "blur"
    levels: ClassVar[tuple[int, ...]] = tuple(DEVIATIONS)

    def picture(self, picture: Picture, item: ItemRow, seed: int) -> Picture:
        """The blurred picture."""
        radius = DEVIATIONS[self.level] * min(picture.size) / SIDE
        return picture.filter(ImageFilter.GaussianBlur(radius))
