"""Make MedSift's own packages win over a user's `training.py`, `evaluation/` and the like.

The rooms have names that other projects use too. Python searches the current folder, or that of the
script, before installed packages, and Ray puts the driver's folder in front on every worker.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Final

from medsift.errors import UsageError

ROOMS: Final = ("curation", "training", "evaluation", "ray_jobs")
ROOT: Final = Path(__file__).resolve().parents[1]
"""The folder that has MedSift's packages."""


class OwnPackagesFinder:
    """Find the rooms in MedSift's folder, whatever folders are on `sys.path`.

    `sys.path` stays as it is: MedSift's folder in front, often `site-packages`, would hide other
    modules of the user.
    """

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return where a room is; None for every other module."""
        return PathFinder.find_spec(name, [str(ROOT)], target) if name in ROOMS else None


def put_first() -> None:
    """Let the names of the rooms mean MedSift's packages from now on in this process.

    Raises:
        UsageError: a package of that name is loaded already, so that both cannot be used in one
            process; the message names its folder.
    """
    for name in ROOMS:
        loaded = sys.modules.get(name)
        if loaded is None:
            continue
        # A folder without `__init__.py` has no file.
        folder = next(iter(getattr(loaded, "__path__", ())), None)
        path = getattr(loaded, "__file__", None) or folder
        if not _is_own(path, name):
            raise hidden_error(name, path or name, f"is loaded as {name!r}")
    if OwnPackagesFinder not in sys.meta_path:
        sys.meta_path.insert(0, OwnPackagesFinder)


def hidden_error(name: str, path: str, state: str) -> UsageError:
    """Return the error about a file or folder that hides one of MedSift's packages."""
    message = (
        f"{path} {state} and hides MedSift's package of that name; start Python in another "
        "folder, or rename that module"
    )
    return UsageError(message, code="package_hidden", package=name, path=path)


def hiding(folders: Sequence[str]) -> dict[str, str]:
    """Return package → the file or folder in `folders` that Python would load in its place."""
    others = {}
    for name in ROOMS:
        spec = PathFinder.find_spec(name, list(folders))
        if spec is not None:
            path = spec.origin or next(iter(spec.submodule_search_locations or ()), None)
            if path is not None and not _is_own(path, name):
                others[name] = path
    return others


def worker_hook() -> Callable[[], None]:
    """Return a function for `worker_process_setup_hook` that calls `put_first` on a Ray worker.

    It also sets up the worker's log, see `medsift.json_logs`.
    """

    # A function inside a function travels by value: where MedSift itself only comes with the
    # driver's folder, which Ray puts on the path after this hook, there is nothing to do, as that
    # folder is then the first.
    def medsift_packages_first() -> None:
        try:
            from medsift import json_logs, own_packages
        except ImportError:
            return
        own_packages.put_first()
        json_logs.install_on_worker()

    return medsift_packages_first


def _is_own(path: str | None, name: str) -> bool:
    return path is not None and Path(path).resolve() == (ROOT / name / "__init__.py").resolve()
