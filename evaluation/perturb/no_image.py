"""`no_image`: the question alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from evaluation.perturb.image_swaps import Donors
from evaluation.perturb.item import IMAGE_MARKER, ItemRow
from evaluation.perturb.perturbation import Role, Skip, Variant


@dataclass(frozen=True, slots=True)
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
