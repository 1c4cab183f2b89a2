"""Find the JSON in a model's reply, which often has words or a code fence around it."""

from __future__ import annotations

import json
from typing import Any

OPENINGS = {dict: "{", list: "["}
MOST_TRIES = 64
"""Opening brackets that are tried: prose has few of them."""


def find_json(text: str, kind: type[dict[str, Any]] | type[list[Any]]) -> Any:
    """Return the last whole object or list in a text, or None; half a one is none.

    The last one counts, because a model may write a draft before it.
    """
    decoder = json.JSONDecoder(parse_constant=_refuse)
    found, at = None, text.find(OPENINGS[kind])
    for _ in range(MOST_TRIES):
        if at < 0:
            break
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            end = at + 1
        else:
            found = value if isinstance(value, kind) else found
        at = text.find(OPENINGS[kind], end)
    return found


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
