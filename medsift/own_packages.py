"""Make MedSift's own packages win over a user's `training.py`, `evaluation/` and the like.

The rooms have names that other projects use too. Python searches the current folder, or that of the
script, before installed packages, and Ray puts the driver's folder in front on every worker.
"""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Final

from medsift.errors import UsageError

ROOMS: Final = ("curation", "training", "evaluation", "ray_jobs")
ROOT: Final = Path(__file__).resolve().parents[1]
"""The folder that holds MedSift's packages."""


def put_first() -> None:
    """Search MedSift's folder first where another folder hides one of its packages.

    Raises:
        UsageError: a package of that name is loaded already, so that both cannot be used in one
            process; the message names its folder.
    """
    for name in ROOMS:
        loaded = sys.modules.get(name)
        if loaded is not None and not _is_own(getattr(loaded, "__file__", None), name):
            place = getattr(loaded, "__file__", None) or name
            raise UsageError(
                f"{place} is loaded as {name!r} and hides MedSift's package of that name; start "
                "Python in another folder, or rename that module",
                code="package_hidden",
                package=name,
                path=str(place),
            )
    if hidden():
        root = str(ROOT)
        sys.path[:] = [root, *(entry for entry in sys.path if entry != root)]
        sys.path_importer_cache.pop(root, None)


def hidden() -> dict[str, str]:
    """Return package → the file or folder that Python would load in place of MedSift's."""
    found = {}
    for name in ROOMS:
        spec = PathFinder.find_spec(name, sys.path)
        place = (
            None
            if spec is None
            else spec.origin or next(iter(spec.submodule_search_locations or ()), None)
        )
        if place is not None and not _is_own(place, name):
            found[name] = str(place)
    return found


def _is_own(place: str | None, name: str) -> bool:
    return place is not None and Path(place).resolve() == (ROOT / name / "__init__.py").resolve()
