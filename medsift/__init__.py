"""MedSift: the smallest medical fine-tuning set that trains as good a model as the whole pool.

    import medsift as ms

    run = ms.curate("vqa_rad")
    run.why("vqa_rad:vqa_rad.jsonl:12")
    small = run.select("small", budget="10%")

Importing the package loads nothing: each name is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from curation.recipe import Recipe
    from curation.run import Run, diff, open_run, probe
    from curation.without_recipe import deduplicate, select
    from medsift.errors import (
        InputError,
        LedgerError,
        ManifestError,
        MedSiftError,
        ModelError,
        RecipeError,
        StorageError,
        UsageError,
    )
    from ray_jobs.python_api import (
        check,
        construct,
        curate,
        evaluate,
        improve,
        remove,
        stages,
        train,
    )

    __version__: str

_MODULE_OF = {
    **dict.fromkeys(
        ("check", "construct", "curate", "remove", "train", "evaluate", "improve", "stages"),
        "ray_jobs.python_api",
    ),
    **dict.fromkeys(("open_run", "probe", "diff", "Run"), "curation.run"),
    "Recipe": "curation.recipe",
    **dict.fromkeys(("deduplicate", "select"), "curation.without_recipe"),
}

__all__ = [
    "InputError",
    "LedgerError",
    "ManifestError",
    "MedSiftError",
    "ModelError",
    "Recipe",
    "RecipeError",
    "Run",
    "StorageError",
    "UsageError",
    "__version__",
    "check",
    "construct",
    "curate",
    "deduplicate",
    "diff",
    "evaluate",
    "improve",
    "open_run",
    "probe",
    "remove",
    "select",
    "stages",
    "train",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("medsift")
    elif name in _MODULE_OF:
        from medsift.own_packages import put_first

        put_first()
        value = getattr(import_module(_MODULE_OF[name]), name)
    elif name in __all__:
        value = getattr(import_module("medsift.errors"), name)
    else:
        raise AttributeError(f"module 'medsift' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
