"""Choose whose picture replaces whose."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from evaluation.perturb.item import ItemRow
from medsift.records import digest

Key = tuple[str, str | None, int]


@dataclass(frozen=True, slots=True, order=True)
class Donor:
    """The pictures of one image group: its id, their references, its patient."""

    image_id: str
    images: tuple[str, ...]
    patient_id: str | None


@dataclass(frozen=True, slots=True)
class Donors:
    """Image groups by benchmark, modality and number of pictures, each list sorted by id.

    Items of unknown modality form a group of their own. `same` names pictures that show the same:
    reference → a name that copies share; without one a picture is only itself.
    """

    groups: Mapping[Key, tuple[Donor, ...]]
    same: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def among(cls, items: Iterable[ItemRow], same: Mapping[str, str] | None = None) -> Donors:
        """The image groups of these items, in whatever order they come."""
        found: dict[Key, dict[str, Donor]] = {}
        for item in items:
            if item["images"]:
                donor = Donor(item["image_id"], tuple(item["images"]), item["patient_id"])
                group = found.setdefault(_key(item), {})
                group[donor.image_id] = min(donor, group.get(donor.image_id, donor), key=_order)
        groups = {key: tuple(sorted(group.values(), key=_order)) for key, group in found.items()}
        return cls(groups, same or {})

    def pick(self, item: ItemRow, seed: int) -> Donor | None:
        """Another image group for an item, by a hash of seed and item; None where there is none.

        It never shares the item's group, one of its pictures or a copy of one, or, where known,
        its patient.
        """
        group = self.groups.get(_key(item), ())
        state = digest("donor", str(seed), item["benchmark"], item["item_id"])
        start = int(state[:16], 16) % max(len(group), 1)
        others = (*group[start:], *group[:start])
        return next((donor for donor in others if self._may_stand_in(donor, item)), None)

    def _may_stand_in(self, donor: Donor, item: ItemRow) -> bool:
        same_patient = donor.patient_id is not None and donor.patient_id == item["patient_id"]
        shared = self._names(donor.images) & self._names(item["images"])
        return donor.image_id != item["image_id"] and not same_patient and not shared

    def _names(self, images: Iterable[str]) -> set[str]:
        return {self.same.get(ref, ref) for ref in images}


def _key(item: ItemRow) -> Key:
    return item["benchmark"], item["modality"], len(item["images"])


def _order(donor: Donor) -> tuple[str, tuple[str, ...], str]:
    return donor.image_id, donor.images, donor.patient_id or ""
