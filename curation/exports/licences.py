"""Translate licence names of records into the spellings that data hubs and Croissant know."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

# Identifiers of https://spdx.org/licenses that data sets carry.
SPDX: Final = (
    "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "CC-BY-2.0", "CC-BY-3.0", "CC-BY-4.0",
    "CC-BY-NC-2.0", "CC-BY-NC-3.0", "CC-BY-NC-4.0", "CC-BY-NC-ND-4.0", "CC-BY-NC-SA-2.0",
    "CC-BY-NC-SA-3.0", "CC-BY-NC-SA-4.0", "CC-BY-ND-4.0", "CC-BY-SA-3.0", "CC-BY-SA-4.0",
    "CDLA-Permissive-1.0", "CDLA-Permissive-2.0", "CDLA-Sharing-1.0", "GPL-3.0", "LGPL-3.0", "MIT",
    "ODbL-1.0", "PDDL-1.0",
)  # fmt: skip
_KNOWN: Final = {name.lower(): name for name in SPDX}
_ON_HUB: Final = {"odbl-1.0": "odbl", "pddl-1.0": "pddl"}


def spdx(name: str) -> str | None:
    """Return the SPDX identifier of a licence's name: ``CC BY 4.0`` is ``CC-BY-4.0``."""
    return _KNOWN.get(_plain(name))


def licence_url(name: str) -> str:
    """Return the SPDX page of a licence, or the name itself where SPDX has none."""
    known = spdx(name)
    return f"https://spdx.org/licenses/{known}.html" if known else name


def hub_licences(names: Collection[str | None]) -> dict[str, list[str] | str]:
    """Return a data card's `license`, and `license_name` for those that the hub does not list.

    None, for a sample without a licence, becomes the hub's `unknown`.
    """
    named = sorted({name for name in names if name}, key=_plain)
    listed = [_ON_HUB.get(_plain(name), _plain(name)) for name in named if spdx(name)]
    others = [name for name in named if not spdx(name)]
    licences = [*dict.fromkeys(listed), *(["other"] if others else [])]
    licences += ["unknown"] if None in names or not licences else []
    return {"license": licences} | ({"license_name": ", ".join(others)} if others else {})


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-")
