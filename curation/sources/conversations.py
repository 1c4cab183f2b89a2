"""Chat in its many spellings, LLaVA, ShareGPT and OpenAI, as roles, texts and pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from curation.errors import InputError

MARKER: Final = "<image>"
ROLE_NAMES: Final = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "model": "assistant",
    "chatgpt": "assistant",
    "system": "system",
}
Turn = dict[str, str | None]


def read_conversation(value: Any) -> tuple[list[Turn], list[Any]]:
    """Turns (role, content) of a conversation and the pictures named inside it, in order.

    `value` is a list of turns or its JSON text; a turn has `role` and `content` or `from` and
    `value`. A picture inside a content becomes an ``<image>`` marker. Raises InputError.
    """
    turns: list[Turn] = []
    images: list[Any] = []
    for place, turn in enumerate(_as_list(value)):
        if not isinstance(turn, Mapping):
            raise InputError(f"turn {place} is not an object with a role and a content")
        role = turn.get("role") or turn.get("from")
        if not isinstance(role, str):
            raise InputError(f"turn {place} has neither `role` nor `from`")
        content = turn.get("content") if turn.get("content") is not None else turn.get("value")
        text, inside = _read_content(content, place)
        name = role.strip().casefold()
        turns.append({"role": ROLE_NAMES.get(name, name), "content": text})
        images += inside
    return turns, images


def with_options(question: str | None, options: Any) -> tuple[str | None, list[str]]:
    """A question with its options on lines of their own, `A. …`, unless it already lists them."""
    texts = read_options(options)
    if not texts or question is None:
        return question, texts
    if all(text.casefold() in question.casefold() for text in texts):
        return question, texts
    lines = [f"{chr(65 + place)}. {text}" for place, text in enumerate(texts)]
    return "\n".join([question, *lines]), texts


def read_options(options: Any) -> list[str]:
    """The options of a choice question: a list, a mapping by letter, or the JSON text of either.

    Raises InputError when it is neither.
    """
    if options is None or options == "":
        return []
    value = json_value(options)
    if isinstance(value, Mapping):
        value = [value[key] for key in sorted(value, key=str) if value[key] is not None]
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) > 26:
        raise InputError("options are neither a list nor an object of at most 26 texts")
    return [str(item) for item in value]


def json_value(value: Any) -> Any:
    """The value that JSON text stands for; anything else, and broken JSON, as it is."""
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _as_list(value: Any) -> Sequence[Any]:
    found = json_value(value)
    if isinstance(found, str) or not isinstance(found, Sequence):
        raise InputError(f"a conversation must be a list of turns, not {type(found).__name__}")
    return found


def _read_content(content: Any, place: int) -> tuple[str | None, list[Any]]:
    if content is None or isinstance(content, str):
        parts = json_value(content)
        if not (isinstance(parts, list) and parts and all(map(_is_part, parts))):
            return content, []
        content = parts
    if isinstance(content, Mapping):
        content = [content]
    if not isinstance(content, Sequence):
        return str(content), []
    texts: list[str] = []
    images: list[Any] = []
    for part in content:
        text, image = _read_part(part, place)
        texts.append(text)
        images += [] if image is None else [image]
    return "\n".join(texts), images


def _is_part(part: Any) -> bool:
    return isinstance(part, Mapping) and part.get("type") in ("text", "image", "image_url")


def _read_part(part: Any, place: int) -> tuple[str, Any]:
    if isinstance(part, str):
        return part, None
    if not isinstance(part, Mapping):
        raise InputError(f"turn {place} holds a part that is neither text nor an object")
    kind = part.get("type") or ("text" if part.get("text") is not None else "image")
    if kind in ("text", "input_text"):
        return str(part.get("text") or ""), None
    if kind not in ("image", "image_url", "input_image"):
        raise InputError(
            f"turn {place} holds a part of type {kind!r}; only text and image are read"
        )
    return MARKER, _part_image(part)


def _part_image(part: Mapping[str, Any]) -> Any:
    for key in ("image", "image_url", "url", "path"):
        value = part.get(key)
        if isinstance(value, Mapping) and value.get("url") is not None:
            return value["url"]
        if value is not None:
            return value
    return None
