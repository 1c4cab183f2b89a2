"""Define a variant: one fixed way to change an item, its question or its pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Self

import numpy as np
from PIL import Image

from evaluation.perturb.image_swaps import Donors
from evaluation.perturb.item import ItemRow
from evaluation.records import ORIGINAL
from medsift.records import digest

Picture = Image.Image
Role = Literal["original", "invariant", "control"]


@dataclass(frozen=True, slots=True)
class Skip:
    """Why a variant cannot be made of an item."""

    reason: str


@dataclass(frozen=True, slots=True)
class Variant:
    """One variant: a family at a level (0 where the family has none).

    `change` makes the changed item without looking at pixels; `picture` changes each picture that
    the changed item shows. Both depend on the seed and the item alone: neither the order of items
    nor the other variants matter.
    """

    level: int = 0

    family: ClassVar[str]
    levels: ClassVar[tuple[int, ...]] = (0,)
    role: ClassVar[Role] = "invariant"
    """`invariant`: whoever reads the picture answers as before (or, of a negated premise, the
    opposite). `control`: what the answer rests on is taken away, or left for comparison."""

    @property
    def name(self) -> str:
        """The name in tables: ``noise@2``, or the family's alone where it has no levels."""
        return f"{self.family}@{self.level}" if self.level else self.family

    @classmethod
    def of(cls, items: Sequence[ItemRow]) -> tuple[Self, ...]:
        """The family's variants that these items may need."""
        return tuple(cls(level) for level in cls.levels)

    @classmethod
    def has(cls, level: int) -> bool:
        """Whether the family has this level."""
        return level in cls.levels

    @classmethod
    def known(cls) -> str:
        """The family's variants in words."""
        return ", ".join(cls(level).name for level in cls.levels)

    def change(self, item: ItemRow, seed: int, donors: Donors) -> ItemRow | Skip:
        """The changed item, or why there is none; by default pixels alone change."""
        return item if item["images"] else Skip("the item has no image")

    def picture(self, picture: Picture, item: ItemRow, seed: int) -> Picture:
        """One picture of the changed item as the model is to see it: mode L or RGB, as it came."""
        return picture

    def random(self, item: ItemRow, seed: int) -> np.random.Generator:
        """The random numbers of this variant and item."""
        state = digest("variant", self.name, str(seed), item["benchmark"], item["item_id"])
        return np.random.default_rng(int(state[:32], 16))


class Original(Variant):
    """The item as it is."""

    family: ClassVar[str] = ORIGINAL
    role: ClassVar[Role] = "original"

    def change(self, item: ItemRow, seed: int, donors: Donors) -> ItemRow | Skip:
        """The item itself."""
        return item
