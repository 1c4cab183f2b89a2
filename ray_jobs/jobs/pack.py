"""Pack what a job carries: MedSift's code and one file of settings, never data."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, Final

import yaml

from medsift.errors import UsageError

PACKAGES: Final = ("medsift", "curation", "training", "evaluation", "ray_jobs")
SETTINGS: Final = "recipe.yaml"
"""The file of settings, in the folder where the job's command line runs."""
LIMIT_BYTES: Final = 5 * 1024**2


def pack(settings: Mapping[str, Any], folder: Path) -> int:
    """Fill `folder` with MedSift's packages and the settings; return its size in bytes.

    Raises UsageError when that is more than `LIMIT_BYTES`, naming the largest files.
    """
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise UsageError(
                f"the package {package!r} is not installed: reinstall medsift",
                code="package_missing",
                package=package,
            )
        unneeded = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")
        shutil.copytree(spec.submodule_search_locations[0], folder / package, ignore=unneeded)
    try:
        installed = distribution("medsift")
    except PackageNotFoundError as error:
        raise UsageError(
            "medsift is not installed here: pip install it, then submit",
            code="package_missing",
            package="medsift",
        ) from error
    # With its metadata the version is known where MedSift is not installed on the cluster.
    info = folder / f"medsift-{installed.version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(installed.read_text("METADATA") or "", encoding="utf-8")
    if settings:
        text = yaml.safe_dump(dict(settings), sort_keys=False, allow_unicode=True)
        (folder / SETTINGS).write_text(text, encoding="utf-8")
    return _require_small(folder)


def _require_small(folder: Path) -> int:
    """Return the bytes of a folder's files. Raises UsageError above `LIMIT_BYTES`."""
    sizes = {
        path.relative_to(folder): path.stat().st_size
        for path in folder.rglob("*")
        if path.is_file()
    }
    total = sum(sizes.values())
    if total > LIMIT_BYTES:
        largest = sorted(sizes.items(), key=lambda item: (-item[1], item[0]))[:3]
        names = ", ".join(f"{path} ({size / 1024**2:.1f} MiB)" for path, size in largest)
        raise UsageError(
            f"code and recipe are {total / 1024**2:.1f} MiB, a job may carry "
            f"{LIMIT_BYTES / 1024**2:.0f} MiB: remove data from the packages; largest: {names}",
            code="job_too_large",
            bytes=total,
        )
    return total
