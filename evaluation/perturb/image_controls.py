"""`no_image`, `blank` and `swapped_image`: controls that take the item's picture away."""

from __future__ import annotations

from typing import ClassVar, Final

from PIL import Image

from evaluation.perturb.image_swaps import Donors
from evaluation.perturb.item import IMAGE_MARKER, ItemRow, with_extra
from evaluation.perturb.perturbation import Picture, Role, Skip, Variant

GREY: Final = 127


class NoImage(Variant):
    """All pictures and their marks in the question taken out."""

    family: ClassVar[str] = "no_image"
    role: ClassVar[Role] = "control"

    def change(self, item: ItemRow, seed: int, donors: Donors) -> ItemRow | Skip:
        """The item without pictures."""
        if not item["images"]:
            return Skip("the item has no image")
        if any(IMAGE_MARKER.search(option) for option in item["options"] or ()):
            return Skip("its options are images")
        return {**item, "images": [], "question": IMAGE_MARKER.sub(" ", item["question"]).strip()}


class Blank(Variant):
    """Every picture replaced by one of middle grey."""

    family: ClassVar[str] = "blank"
    role: ClassVar[Role] = "control"

    def picture(self, picture: Picture, item: ItemRow, seed: int) -> Picture:
        """A grey picture of the same size and mode."""
        return Image.new(picture.mode, picture.size, (GREY,) * len(picture.getbands()))


class SwappedImage(Variant):
    """Pictures of another image group; the item keeps its own `image_id` for the clusters."""

    family: ClassVar[str] = "swapped_image"
    role: ClassVar[Role] = "control"

    def change(self, item: ItemRow, seed: int, donors: Donors) -> ItemRow | Skip:
        """The item with a donor's pictures, whose id stands in `extra` as `swapped_for`."""
        if not item["images"]:
            return Skip("the item has no image")
        donor = donors.pick(item, seed)
        if donor is None:
            return Skip("no other image of its modality")
        return {**with_extra(item, swapped_for=donor.image_id), "images": list(donor.images)}
