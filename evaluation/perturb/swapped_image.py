"""`swapped_image`: the picture of another item of the same modality."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from evaluation.perturb.image_swaps import Donors
from evaluation.perturb.item import ItemRow, with_extra
from evaluation.perturb.perturbation import Role, Skip, Variant


@dataclass(frozen=True, slots=True)
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
