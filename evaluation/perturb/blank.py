"""`blank`: a grey picture of the same size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from PIL import Image

from evaluation.perturb.item import ItemRow
from evaluation.perturb.perturbation import Picture, PictureVariant, Role

GREY: Final = 127


@dataclass(frozen=True, slots=True)
class Blank(PictureVariant):
    """Every picture replaced by one of middle grey."""

    family: ClassVar[str] = "blank"
    role: ClassVar[Role] = "control"

    def picture(self, picture: Picture, item: ItemRow, seed: int) -> Picture:
        """A grey picture of the same size and mode."""
        return Image.new(picture.mode, picture.size, (GREY,) * len(picture.getbands()))
