"""Say which extra of MedSift a package that is not installed comes with.

`pip install medsift` is enough to query, report, probe and select from a finished run. What reads
pictures, loads models or needs a cluster comes with extras; `pyproject.toml` lists their packages.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from traceback import walk_tb
from typing import Final, ParamSpec, TypeVar

from medsift.errors import UsageError

MODELS: Final = ("curate", "train", "evaluate")
EXTRAS_OF: Final = {
    "torch": MODELS,
    "torchvision": MODELS,
    "transformers": MODELS,
    "tokenizers": MODELS,
    "huggingface_hub": MODELS,
    "safetensors": MODELS,
    "datasets": ("curate", "evaluate"),
    "requests": ("curate", "evaluate"),
    "urllib3": ("curate", "evaluate"),
    "peft": ("train", "evaluate"),
    "tensorboardX": ("train",),
    "open_clip": ("curate",),
    "faiss": ("curate",),
    "imagehash": ("curate",),
    "pydicom": ("curate",),
    "nibabel": ("curate",),
    "rensa": ("curate",),
    "faker": ("privacy",),
    "phonenumbers": ("privacy",),
    "ray": ("cluster",),
    "aiohttp": ("cluster",),
    "boto3": ("s3",),
    "botocore": ("s3",),
}
"""The extras that bring a package, by the name under which it is imported."""
EXTRA_OF_ROOM: Final = {"curation": "curate", "training": "train", "evaluation": "evaluate"}

P = ParamSpec("P")
R = TypeVar("R")


def missing_extra(error: ModuleNotFoundError) -> UsageError | None:
    """Return the error that names the extra to install; None for a package of no extra.

    Several extras bring torch. The one that is named is that of the innermost room which the
    import came from, so that `medsift train` asks for `train`.
    """
    package = (error.name or "").partition(".")[0]
    extras = EXTRAS_OF.get(package)
    if extras is None:
        return None
    extra = extras[0]
    for frame, _ in walk_tb(error.__traceback__):
        room = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if EXTRA_OF_ROOM.get(room) in extras:
            extra = EXTRA_OF_ROOM[room]
    message = f"package {package} is not installed; run pip install 'medsift[{extra}]'"
    if extra == "cluster":
        message += ", or work in this process (--local, in Python ray=False)"
    return UsageError(message, code="package_missing", package=package, extra=extra)


def names_missing_extra(function: Callable[P, R]) -> Callable[P, R]:
    """Let a function of the public API raise `package_missing` for a package of an extra."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except ModuleNotFoundError as error:
            missing = missing_extra(error)
            if missing is None:
                raise
            raise missing from error

    return call
