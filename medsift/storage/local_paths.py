"""Places that are written to: folders of a disk, never URLs, which would become folder names."""

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
    """The URL that a path or text was written as, or None where it is a place on a disk."""
    text = str(place)
    found = URL.match(text) if isinstance(place, str | Path) else None
    return None if found is None else f"{found[1]}://{text[found.end() :]}"


def refusal(url: str) -> str:
    """Why a URL cannot represent a folder here, and what can."""
    return (
        f"{url!r} is a URL: runs, caches and outputs are written to a folder of a disk, which all "
        "nodes of a cluster share; name one"
    )


def _on_disk(value: Any) -> Any:
    url = url_of(value)
    if url is not None:
        raise ValueError(refusal(url))
    return value


def require_local(place: Path) -> None:
    """Raise UsageError for a path that was written as a URL."""
    url = url_of(place)
    if url is not None:
        raise UsageError(refusal(url), code="path_not_local")


LocalPath = Annotated[Path, BeforeValidator(_on_disk)]
"""A path of a recipe that is no URL."""


def with_local_paths(command: Callable[..., Any]) -> Callable[..., Any]:
    """`command` as it is, but for one line of refusal where a path among its arguments is a URL.

    Raises:
        UsageError: naming the argument.
    """

    @wraps(command)
    def checked(*args: Any, **options: Any) -> Any:
        for name, value in options.items():
            for one in value if isinstance(value, list | tuple) else (value,):
                url = url_of(one) if isinstance(one, Path) else None
                if url is not None:
                    raise UsageError(
                        f"--{name.replace('_', '-')}: {refusal(url)}", code="path_not_local"
                    )
        return command(*args, **options)

    return checked
