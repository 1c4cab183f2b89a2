"""`mask_region` and `mask_elsewhere`: the region asked about hidden, or as much of the rest.

An answer that rests on the region suffers more from the first than from the second. Regions are
the item's boxes: `extra` has `boxes`, a list of [left, top, right, bottom] as shares of width and
height. Both variants are made of the same items.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

import numpy as np
from PIL import ImageDraw

from evaluation.perturb.image_swaps import Donors
from evaluation.perturb.item import ItemRow, extra_of, with_extra
from evaluation.perturb.perturbation import Picture, Role, Skip, Variant
from medsift.records import digest

Box = tuple[float, float, float, float]
STEPS: Final = 64
"""Places along each side at which a hidden region may begin."""


class MaskRegion(Variant):
    """The item's boxes filled with the picture's mean colour."""

    family: ClassVar[str] = "mask_region"
    role: ClassVar[Role] = "control"
    elsewhere: ClassVar[bool] = False

    def change(self, item: ItemRow, seed: int, donors: Donors) -> ItemRow | Skip:
        """The item with the boxes to hide as `masked` in `extra`."""
        boxes: list[Box] = [tuple(box) for box in extra_of(item).get("boxes") or ()]
        if not boxes:
            return Skip("no region is known")
        if len(item["images"] or ()) != 1:
            return Skip("its region is on one of several images")
        elsewhere = _elsewhere(boxes, item, seed)
        if elsewhere is None:
            return Skip("its region leaves no room for another of its size")
        return with_extra(item, masked=elsewhere if self.elsewhere else boxes)

    def picture(self, picture: Picture, item: ItemRow, seed: int) -> Picture:
        """The picture with the boxes of `masked` filled."""
        pixels = np.asarray(picture, np.float64).reshape(-1, len(picture.getbands()))
        mean = tuple(int(level) for level in np.rint(pixels.mean(axis=0)))
        hidden = picture.copy()
        draw = ImageDraw.Draw(hidden)
        for box in extra_of(item)["masked"]:
            draw.rectangle(_pixels(box, picture.size), fill=mean[0] if len(mean) == 1 else mean)
        return hidden


class MaskElsewhere(MaskRegion):
    """Boxes of the same sizes, at random places that touch none of the item's, filled."""

    family: ClassVar[str] = "mask_elsewhere"
    elsewhere: ClassVar[bool] = True


def _elsewhere(boxes: Sequence[Box], item: ItemRow, seed: int) -> list[Box] | None:
    """A box of the size of each, at a random place free of all, None where there is none."""
    state = digest("elsewhere", str(seed), item["benchmark"], item["item_id"])
    random = np.random.default_rng(int(state[:32], 16))
    placed: list[Box] = []
    for box in sorted(boxes, key=_area, reverse=True):
        width, height = box[2] - box[0], box[3] - box[1]
        left = np.linspace(0.0, 1.0 - width, STEPS)[:, None]
        top = np.linspace(0.0, 1.0 - height, STEPS)[None, :]
        free = np.ones((STEPS, STEPS), dtype=bool)
        for taken in (*boxes, *placed):
            apart = (left + width <= taken[0]) | (left >= taken[2])
            free &= apart | (top + height <= taken[1]) | (top >= taken[3])
        places = np.flatnonzero(free)
        if not places.size:
            return None
        column, row = divmod(int(random.choice(places)), STEPS)
        x, y = float(left[column, 0]), float(top[0, row])
        placed.append((x, y, x + width, y + height))
    return placed


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _pixels(box: Sequence[float], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """First and last column and row of a box, at least one pixel each way."""
    left, top = (min(int(box[at] * size[at]), size[at] - 1) for at in (0, 1))
    right, bottom = (round(box[at + 2] * size[at]) - 1 for at in (0, 1))
    return left, top, min(max(right, left), size[0] - 1), min(max(bottom, top), size[1] - 1)
