"""Say what licences ask of a mixture of data, and which of them exclude each other.

`licence_classes.csv` lists what each asks: identifiers as in the SPDX licence list, terms as in the
licences' own texts, as of November 2026. It is an aid to sorting, not legal advice.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import combinations
from typing import Final, Literal

LicenceUse = Literal["commercial", "noncommercial", "no_derivatives", "other", "unknown"]
"""What may be made of a sample: commercial use; use without profit alone; no works made of it; a
licence that the table does not list; or none is stated."""
PERMISSIVE, UNKNOWN = "permissive", "unknown"
NON_COMMERCIAL, NO_DERIVATIVES = "non-commercial", "no-derivatives"
_DEED: Final = re.compile(
    r"(?:https?://)?(?:www\.)?creativecommons\.org/(?:licenses/(?P<terms>[a-z-]+)/(?P<version>\d\.\d)"
    r"|publicdomain/zero/1\.0)",
    re.IGNORECASE,
)
_ALIKE: Final = {
    "cc0": "CC0-1.0",
    "public-domain": "CC0-1.0",
    "cc-zero": "CC0-1.0",
    "gpl-3.0-only": "GPL-3.0",
}


@dataclass(frozen=True, slots=True)
class LicenceClass:
    """What one licence asks; `share_alike` names the family that a mixture must then have."""

    name: str
    attribution: bool = False
    share_alike: str | None = None
    non_commercial: bool = False
    no_derivatives: bool = False
    known: bool = True

    @property
    def group(self) -> str:
        """The class by which an export is separated: equal groups never exclude each other."""
        if not self.known:
            return UNKNOWN
        if self.no_derivatives:
            return NO_DERIVATIVES
        if self.share_alike:
            return f"share-alike-{self.share_alike}"
        return NON_COMMERCIAL if self.non_commercial else PERMISSIVE


def licence_class(name: str | None) -> LicenceClass:
    """Return what a licence asks; one that is not listed, or none, is not `known`."""
    known = spdx(name) if name else None
    if known is None:
        return LicenceClass(name or "no licence", known=False)
    return _classes()[known]


def licence_use(name: str | None) -> LicenceUse:
    """Return what may be made of a sample: ``CC BY-NC-ND 4.0`` is `noncommercial`."""
    one = licence_class(name)
    if not one.known:
        return "other" if name and name.strip().lower() not in (UNKNOWN, "none") else "unknown"
    if one.non_commercial:
        return "noncommercial"
    return "no_derivatives" if one.no_derivatives else "commercial"


def spdx(name: str) -> str | None:
    """Return the SPDX identifier of a licence's name or deed: ``CC BY 4.0`` is ``CC-BY-4.0``."""
    deed = _DEED.search(name)
    if deed is not None:
        name = f"cc-{deed['terms']}-{deed['version']}" if deed["terms"] else "CC0-1.0"
    plain = re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-")
    by_name = {known.lower(): known for known in _classes()}
    return _ALIKE.get(plain) or by_name.get(plain)


def excluding(names: Iterable[str | None]) -> list[tuple[str, str]]:
    """Return the pairs of licences that no common licence of a mixture satisfies.

    These are two share-alike licences of different families, one with a non-commercial licence
    where its own does not restrict use, and one with a licence that allows no derivatives.
    """
    classes = {one.name: one for one in map(licence_class, names)}
    pairs = combinations([classes[name] for name in sorted(classes)], 2)
    return [(one.name, other.name) for one, other in pairs if _exclude(one, other)]


def obligations(names: Collection[str | None]) -> list[str]:
    """Return what licences ask of what is made of them: attribution, share-alike, …, sorted."""
    asked = set()
    for one in map(licence_class, names):
        asked |= {"attribution"} if one.attribution else set()
        asked |= {f"share-alike ({one.share_alike})"} if one.share_alike else set()
        asked |= {NON_COMMERCIAL} if one.non_commercial else set()
        asked |= {NO_DERIVATIVES} if one.no_derivatives else set()
        asked |= set() if one.known else {"unknown terms"}
    return sorted(asked)


def _exclude(one: LicenceClass, other: LicenceClass) -> bool:
    if not (one.share_alike or other.share_alike):
        return False
    if one.share_alike and other.share_alike:
        return one.share_alike != other.share_alike
    sharing, plain = (one, other) if one.share_alike else (other, one)
    return plain.no_derivatives or (plain.non_commercial and not sharing.non_commercial)


@cache
def _classes() -> dict[str, LicenceClass]:
    text = files("medsift").joinpath("licence_classes.csv").read_text(encoding="utf-8")
    return {
        line["licence"]: LicenceClass(
            name=line["licence"],
            attribution=line["attribution"] == "yes",
            share_alike=line["share_alike"] or None,
            non_commercial=line["non_commercial"] == "yes",
            no_derivatives=line["no_derivatives"] == "yes",
        )
        for line in csv.DictReader(text.splitlines())
    }
