"""Refuse URLs where a folder on a disk is needed: Path would make a folder name of them."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BeforeValidator

from medsift.errors import UsageError

# A path drops one of the two slashes; a drive letter of Windows has one letter and is no scheme.
URL: Final = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]+):/{1,2}")


def url_of(place: object) -> str | None:
    """Return the URL that a path or text was written as, or None where it is a path on a disk."""
    text = str(place)
    match = URL.match(text) if isinstance(place, str | Path) else None
    return None if match is None else f"{match[1]}://{text[match.end() :]}"


def _refusal(url: str) -> str:
    """Return why a URL cannot be used here, and what can."""
    return (
        f"{url!r} is a URL: runs, caches and outputs are written to a folder of a disk, which all "
        "nodes of a cluster share; name one"
    )


def _on_disk(value: Any) -> Any:
    url = url_of(value)
    if url is not None:
        raise ValueError(_refusal(url))
    return value


def require_local(place: Path) -> None:
    """Raise UsageError for a path that was written as a URL."""
    url = url_of(place)
    if url is not None:
        raise UsageError(_refusal(url), code="path_not_local", path=url)


LocalPath = Annotated[Path, BeforeValidator(_on_disk)]
"""A path of a recipe that is no URL."""


def with_local_paths(command: Callable[..., Any]) -> Callable[..., Any]:
    """Return `command` with a UsageError, which names the argument, for a URL among its paths."""

    @wraps(command)
    def checked(*args: Any, **options: Any) -> Any:
        for name, value in options.items():
            for item in value if isinstance(value, list | tuple) else (value,):
                url = url_of(item) if isinstance(item, Path) else None
                if url is not None:
                    option = f"--{name.replace('_', '-')}"
                    message = f"{option}: {_refusal(url)}"
                    raise UsageError(message, code="path_not_local", option=option, path=url)
        return command(*args, **options)

    return checked
