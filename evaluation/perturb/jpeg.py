"""`jpeg`: lossy compression."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import ClassVar, Final

from PIL import Image

from evaluation.perturb.item import ItemRow
from evaluation.perturb.perturbation import Picture, PictureVariant

QUALITIES: Final = {1: 25, 2: 18, 3: 15}
"""JPEG quality by level.

Severities 1 to 3 of Hendrycks & Dietterich 2019 (arXiv 1903.12261), ImageNet-C.
"""


@dataclass(frozen=True, slots=True)
class Jpeg(PictureVariant):
    """The picture after lossy compression and back."""

    family: ClassVar[str] = "jpeg"
    levels: ClassVar[tuple[int, ...]] = tuple(QUALITIES)

    def picture(self, picture: Picture, item: ItemRow, seed: int) -> Picture:
        """The picture with JPEG's artefacts."""
        packed = io.BytesIO()
        picture.save(packed, "JPEG", quality=QUALITIES[self.level])
        with Image.open(packed) as unpacked:
            unpacked.load()
            return unpacked.copy()
