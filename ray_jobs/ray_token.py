"""The token of a Ray cluster: found where Ray itself looks, sent, never printed."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from medsift.errors import UsageError

MODE = "RAY_AUTH_MODE"
VALUE = "RAY_AUTH_TOKEN"
PLACE = "RAY_AUTH_TOKEN_PATH"


@dataclass(frozen=True, slots=True)
class Token:
    """A secret and where it was found; its repr shows only the place."""

    value: str = field(repr=False)
    origin: str

    @property
    def headers(self) -> dict[str, str]:
        """The HTTP headers that carry the token."""
        return {"Authorization": f"Bearer {self.value}"}


def find_token() -> Token | None:
    """Look in $RAY_AUTH_TOKEN, the file of $RAY_AUTH_TOKEN_PATH, then ~/.ray/auth_token.

    Returns None when there is none or RAY_AUTH_MODE switches tokens off. Raises UsageError when
    a place is named but holds no token.
    """
    if os.environ.get(MODE, "").lower() == "disabled":
        return None
    if value := os.environ.get(VALUE, "").strip():
        return Token(value, f"${VALUE}")
    if place := os.environ.get(PLACE):
        return _from_file(Path(place), f"${PLACE}")
    default = Path.home() / ".ray" / "auth_token"
    return _from_file(default, "~/.ray/auth_token") if default.is_file() else None


def offer_token() -> Token | None:
    """Make Ray send the token, when there is one, on connections that this process opens next.

    Ray reads the mode once, when it is imported, so call this before the first `import ray`.
    """
    token = find_token()
    if token is not None:
        os.environ.setdefault(MODE, "token")
    return token


def _from_file(path: Path, origin: str) -> Token:
    try:
        value = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"cannot read a token from {path} ({origin}): name a readable file",
            code="cluster_token_missing",
            origin=origin,
        ) from error
    if not value:
        raise UsageError(
            f"{path} ({origin}) is empty: write the cluster's token into it",
            code="cluster_token_missing",
            origin=origin,
        )
    return Token(value, origin)
