"""`rotation`: the options of a choice question in rotated order."""

from __future__ import annotations

import re
from collections.abc import Sequence
from string import ascii_uppercase as LETTERS
from typing import ClassVar, Final, Self

from evaluation.perturb.image_swaps import Donors
from evaluation.perturb.item import ItemRow
from evaluation.perturb.perturbation import Skip, Variant

BY_PLACE: Final = re.compile(
    r"\b(above|below|preceding|following)\b"
    r"|\b(both|options?|choices?)\s+\(?[A-Z]\b|\b[A-Z]\s*(?:&|,|and|or)\s*[A-Z]\b"
    r"|以上|以下|上述|[A-Z]\s*[和与或]\s*[A-Z]"
)
"""Options that speak of others by their place or letter."""


class OptionRotation(Variant):
    """``rotation@k`` moves the first k options behind the others; the letters stay in order."""

    family: ClassVar[str] = "rotation"

    @classmethod
    def of(cls, items: Sequence[ItemRow]) -> tuple[Self, ...]:
        """Every rotation but the first order, up to the longest list of options."""
        longest = max((len(item["options"] or ()) for item in items), default=0)
        return tuple(cls(step) for step in range(1, longest))

    @classmethod
    def has(cls, level: int) -> bool:
        """Whether the family has this level: any from 1."""
        return level >= 1

    @classmethod
    def known(cls) -> str:
        """The family's variants in words."""
        return "rotation@1 and so on, to one less than there are options"

    def change(self, item: ItemRow, seed: int, donors: Donors) -> ItemRow | Skip:
        """The item with rotated options and the gold's new letter."""
        options, gold = list(item["options"] or ()), item["gold"].strip()
        if self.level >= len(options):
            return Skip(f"it has {len(options)} options")
        if len(gold) != 1 or gold not in LETTERS[: len(options)]:
            return Skip("its gold is no letter of an option")
        if any(BY_PLACE.search(option) for option in options):
            return Skip("an option speaks of others by their place")
        turned = [*options[self.level :], *options[: self.level]]
        place = (LETTERS.index(gold) - self.level) % len(options)
        return {**item, "options": turned, "gold": LETTERS[place]}
