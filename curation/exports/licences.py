"""Translate licence names of records into the spellings that data hubs and Croissant know."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from medsift.licence_classes import spdx

_ON_HUB: Final = {"odbl-1.0": "odbl", "pddl-1.0": "pddl"}


def licence_url(name: str) -> str:
    """Return the SPDX page of a licence, or the name itself where SPDX has none."""
    known = spdx(name)
    return f"https://spdx.org/licenses/{known}.html" if known else name


def hub_licences(names: Collection[str | None]) -> dict[str, list[str] | str]:
    """Return a data card's `license`, and `license_name` for those that the hub does not list.

    None, for a sample without a licence, becomes the hub's `unknown`.
    """
    named = sorted({name for name in names if name}, key=_plain)
    known = [_plain(spdx(name) or "") for name in named if spdx(name)]
    listed = [_ON_HUB.get(name, name) for name in known]
    others = [name for name in named if not spdx(name)]
    licences = [*dict.fromkeys(listed), *(["other"] if others else [])]
    licences += ["unknown"] if None in names or not licences else []
    return {"license": licences} | ({"license_name": ", ".join(others)} if others else {})


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-")
