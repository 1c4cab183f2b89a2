"""Variants by name, and a benchmark's items in every variant asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from curation.matching.same_pictures import find_same
from evaluation.perturb import FAMILIES
from evaluation.perturb.image_controls import SwappedImage
from evaluation.perturb.image_swaps import Donors
from evaluation.perturb.item import ItemRow
from evaluation.perturb.perturbation import Picture, Skip, Variant
from evaluation.records import ITEMS
from medsift.errors import UsageError

BY_NAME: Final = {family.family: family for family in FAMILIES}
PART: Final = 1_000
"""Items whose variants are plain rows at a time, before they become Arrow."""
VARIED: Final = pa.schema([*ITEMS, pa.field("variant", pa.string(), nullable=False)])
SKIPPED: Final = pa.schema(
    [
        pa.field(name, pa.string(), nullable=False)
        for name in ("benchmark", "item_id", "variant", "reason")
    ]
)


@dataclass(frozen=True, slots=True)
class Varied:
    """Items in their variants (``ITEMS`` and `variant`), and which variants have no such item."""

    items: pa.Table
    skipped: pa.Table


def find_variants(names: Sequence[str], items: pa.Table) -> list[Variant]:
    """The variants that `names` mean for these items, without repeats, in their order.

    A family's name means all its levels, ``all`` every family. Raises UsageError for a name or
    level that there is not.
    """
    rows = items.to_pylist()
    wanted = [name for given in names for name in (BY_NAME if given == "all" else [given])]
    found: dict[str, Variant] = {}
    for name in wanted:
        family = BY_NAME.get(name)
        for variant in family.of(rows) if family else (find_variant(name),):
            found.setdefault(variant.name, variant)
    return list(found.values())


def find_variant(name: str) -> Variant:
    """The one variant of a full name such as ``noise@2``. Raises UsageError when there is none."""
    family = BY_NAME.get(name.partition("@")[0])
    if family is None:
        raise UsageError(
            f"there is no variant {name!r}; families are {', '.join(BY_NAME)}",
            code="variant_unknown",
            variant=name,
        )
    level = name[len(family.family) + 1 :]
    if (level.isdecimal() or name == family.family) and family.has(int(level or 0)):
        return family(int(level or 0))
    raise UsageError(
        f"there is no variant {name!r}; of {family.family} there is {family.known()}",
        code="variant_unknown",
        variant=name,
    )


def vary(items: pa.Table, variants: Sequence[Variant], seed: int) -> Varied:
    """Make every variant of every item of an ``ITEMS`` table; rows in the order of the items.

    What becomes of an item depends on the seed and itself, and for `swapped_image` on which
    pictures there are, never on the order of rows.
    """
    rows = items.to_pylist()
    # Pictures are read only where one may stand in for another.
    swaps = any(isinstance(variant, SwappedImage) for variant in variants)
    same = find_same(ref for row in rows for ref in row["images"]) if swaps else {}
    donors = Donors.among(rows, same)
    parts = [
        _vary(rows[start : start + PART], variants, seed, donors)
        for start in range(0, max(len(rows), 1), PART)
    ]
    return Varied(
        pa.concat_tables([part.items for part in parts]),
        pa.concat_tables([part.skipped for part in parts]),
    )


def _vary(
    rows: Sequence[ItemRow], variants: Sequence[Variant], seed: int, donors: Donors
) -> Varied:
    made, skipped = [], []
    for item in rows:
        for variant in variants:
            changed = variant.change(item, seed, donors)
            if isinstance(changed, Skip):
                named = {"benchmark": item["benchmark"], "item_id": item["item_id"]}
                skipped.append({**named, "variant": variant.name, "reason": changed.reason})
            else:
                made.append({**changed, "variant": variant.name})
    return Varied(
        pa.Table.from_pylist(made, schema=VARIED), pa.Table.from_pylist(skipped, schema=SKIPPED)
    )


def show(item: ItemRow, pictures: Sequence[Picture], seed: int) -> list[Picture]:
    """The pictures of a row of `Varied.items` as the model is to see them.

    `pictures` are those of its `images`, decoded; modes other than L and RGB become RGB.
    """
    variant = find_variant(item["variant"])
    plain = (one if one.mode in ("L", "RGB") else one.convert("RGB") for one in pictures)
    return [variant.picture(picture, item, seed) for picture in plain]
