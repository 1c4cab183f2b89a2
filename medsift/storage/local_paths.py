"""Read what people write as a place: a folder of a disk, or where it may be one, a store's URL.

Path would make a folder name of a URL. Where a store will do, a URL becomes the path of its mirror
on this machine (`medsift.storage.mirror`); elsewhere it is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, PlainSerializer

from medsift.errors import UsageError
from medsift.storage.connect import WRITTEN
from medsift.storage.locations import scheme, without_secrets
from medsift.storage.mirror import location, mirror_of

# A path drops one of the two slashes; a drive letter of Windows has one letter and is no scheme.
URL: Final = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]+):/{1,2}")


def url_of(place: object) -> str | None:
    """Return the URL that a path or text was written as, or None where it is a path on a disk."""
    text = str(place)
    match = URL.match(text) if isinstance(place, str | Path) else None
    return None if match is None else f"{match[1]}://{text[match.end() :]}"


def path_of(place: str | Path) -> Path:
    """Return the path on this machine of a folder, or of the URL of a store that is written to.

    Raises:
        UsageError: a URL of another kind.
        InputError: a URL with credentials in it, or that is no place in a store.
    """
    url = url_of(place)
    if url is None:
        return Path(place)
    if scheme(url) not in WRITTEN:
        raise UsageError(_unwritten(url), code="path_not_local", path=without_secrets(url))
    return mirror_of(url)


def _unwritten(url: str) -> str:
    return (
        f"{without_secrets(url)!r} is no place that MedSift writes to: name a folder, or one of "
        + ", ".join(f"{name}://" for name in WRITTEN)
    )


def _refusal(url: str) -> str:
    """Return why a URL cannot be used here, and what can."""
    return f"{without_secrets(url)!r} is a URL, and a folder of a disk is needed: name one"


def _on_disk(value: Any) -> Any:
    url = url_of(value)
    if url is not None:
        raise ValueError(_refusal(url))
    return value


def _anywhere(value: Any) -> Any:
    url = url_of(value)
    if url is not None and scheme(url) not in WRITTEN:
        raise ValueError(_unwritten(url))
    return value if url is None else mirror_of(url)


LocalPath = Annotated[Path, BeforeValidator(_on_disk)]
"""A path of a recipe that is no URL."""
AnyPath = Annotated[
    Path, BeforeValidator(_anywhere), PlainSerializer(location, return_type=str, when_used="json")
]
"""A path of a recipe that may be the URL of a store; it is stored as it was written."""


def with_paths(command: Callable[..., Any], anywhere: frozenset[str]) -> Callable[..., Any]:
    """Return `command` with paths for the URLs that its arguments `anywhere` may be.

    A URL among its other paths is a UsageError that names the argument.
    """

    @wraps(command)
    def checked(*args: Any, **options: Any) -> Any:
        for name, value in options.items():
            if name in anywhere and isinstance(value, Path):
                options[name] = path_of(value)
                continue
            for item in value if isinstance(value, list | tuple) else (value,):
                url = url_of(item) if isinstance(item, Path) else None
                if url is not None:
                    option = f"--{name.replace('_', '-')}"
                    message = f"{option}: {_refusal(url)}"
                    raise UsageError(message, code="path_not_local", option=option, path=url)
        return command(*args, **options)

    return checked
