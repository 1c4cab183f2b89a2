"""Read chats in their many forms, LLaVA, ShareGPT and OpenAI, as roles, texts and pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from curation.sources.cell_values import check_depth, is_nothing, list_value
from curation.sources.pictures import PICTURE_KEYS
from curation.sources.row_faults import MALFORMED_IMAGE, RowFault, chat_fault
from medsift.text import shown
from medsift.vocabulary import IMAGE_MARK

ROLE_NAMES: Final = {
    "human": "user",
    **dict.fromkeys(("gpt", "model", "chatgpt"), "assistant"),
}
ROLE_KEYS: Final = ("role", "from")
CONTENT_KEYS: Final = ("content", "value")
LEARN_KEYS: Final = ("loss", "train", "weight", "loss_scale", "trainable")
"""Keys by which formats say whether an assistant's turn is to be learned."""
NOT_LEARNED: Final = "turn_not_learned"
TEXT_PARTS: Final = ("text", "input_text", "output_text")
PICTURE_PARTS: Final = ("image", "image_url", "input_image", "image_path")
# Keys of a picture part that do not change which picture it is.
PART_SETTINGS: Final = frozenset(
    {"type", "text", "detail", "index", "min_pixels", "max_pixels", "resized_height"}
    | {"resized_width", "cache_control", "width", "height", "mime_type", "media_type", "id"}
)
Turn = dict[str, str | None]


@dataclass(slots=True)
class Chat:
    """Turns (role, content), the pictures named in them in order, and notes."""

    turns: list[Turn] = field(default_factory=list)
    pictures: list[Any] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_conversation(cell: Any) -> Chat:
    """Return the turns of a conversation.

    `cell` is a list of turns, or its JSON or printed Python; a turn has `role` and `content` or
    `from` and `value`. A picture inside a content becomes an ``<image>`` marker. Other keys of a
    turn are noted as not read. Raises RowFault for what is no conversation, for a turn that is not
    to be learned, and for parts that are no text and no picture.
    """
    value = list_value(cell)
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
        raise chat_fault(f"a conversation must be a list of turns, not {shown(value)}")
    check_depth(value)
    chat = Chat()
    unread: set[str] = set()
    for place, turn in enumerate(value):
        if not isinstance(turn, Mapping):
            raise chat_fault(f"turn {place} is not an object with a role and a content")
        role = turn.get("role") or turn.get("from")
        if not isinstance(role, str):
            raise chat_fault(f"turn {place} has neither `role` nor `from`")
        role = role.strip().casefold()
        role = ROLE_NAMES.get(role, role)
        _check_learned(turn, role, place)
        content = next((turn[key] for key in CONTENT_KEYS if turn.get(key) is not None), None)
        text, inside = _read_content(content, place)
        chat.turns.append({"role": role, "content": text})
        chat.pictures += inside
        known = (*ROLE_KEYS, *CONTENT_KEYS, *LEARN_KEYS)
        unread |= {str(key) for key in turn if key not in known and not is_nothing(turn[key])}
    if unread:
        chat.notes.append(f"messages: not read: {', '.join(sorted(unread))}")
    return chat


def read_history(cell: Any) -> list[Turn] | None:
    """Return the turns of ms-swift's `history`, [[question, answer], …], or None if it is none."""
    value = list_value(cell)
    if not isinstance(value, (list, tuple)) or not value:
        return None
    turns: list[Turn] = []
    for pair in value:
        if not isinstance(pair, (list, tuple)) or len(pair) != 2:
            return None
        if not all(isinstance(text, str) for text in pair):
            return None
        asked, answered = pair
        turns += [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]
    return turns


def _check_learned(turn: Mapping[str, Any], role: str, place: int) -> None:
    """Refuse a turn that must not be learned, since samples cannot express that."""
    for key in LEARN_KEYS:
        value = turn.get(key)
        off = value is False or (value == 0 and value is not None)
        if role == "assistant" and (off or str(value).strip().casefold() in ("false", "0")):
            words = f"turn {place} says {key}: {shown(value)}, and every assistant turn of a sample"
            words += " is learned; cut the conversation before it, or make it a user turn"
            raise RowFault(NOT_LEARNED, words)


def _read_content(content: Any, place: int) -> tuple[str | None, list[Any]]:
    if content is None or isinstance(content, str):
        parts = list_value(content)
        if not (isinstance(parts, list) and parts and all(map(_is_part, parts))):
            return content, []
        content = parts
    if isinstance(content, Mapping):
        content = [content]
    if isinstance(content, (bytes, bytearray)):
        raise chat_fault(f"the content of turn {place} is bytes, not text: {shown(content)}")
    if not isinstance(content, Sequence):
        return None if is_nothing(content) else json.dumps(content, default=str), []
    parts = [_read_part(part, place) for part in content if not is_nothing(part)]
    return "\n".join(text for text, _ in parts), [image for _, image in parts if image is not None]


def _is_part(part: Any) -> bool:
    return isinstance(part, Mapping) and part.get("type") in (*TEXT_PARTS, *PICTURE_PARTS)


def _read_part(part: Any, place: int) -> tuple[str, Any]:
    if isinstance(part, str):
        return part, None
    if not isinstance(part, Mapping):
        raise chat_fault(f"turn {place} holds a part that is neither text nor an object")
    kind = part.get("type") or ("text" if part.get("text") is not None else "image")
    if kind in TEXT_PARTS:
        text = part.get("text")
        if isinstance(text, (Mapping, list, tuple, bytes)):
            raise chat_fault(f"turn {place} holds a text part that is no text: {shown(text)}")
        return "" if is_nothing(text) else str(text), None
    if kind not in PICTURE_PARTS:
        words = f"turn {place} holds a part of type {shown(kind)}; only text and image are read"
        raise chat_fault(words)
    return IMAGE_MARK, _part_image(part, place)


def _part_image(part: Mapping[str, Any], place: int) -> Any:
    """Return the picture of a part; None where the part only marks the place of one."""
    filled = {key: value for key, value in part.items() if not is_nothing(value)}
    if picture := {key: value for key, value in filled.items() if key in PICTURE_KEYS}:
        return picture
    strange = sorted(str(key) for key in filled.keys() - PART_SETTINGS)
    if strange:
        words = f"turn {place} holds a picture part with {', '.join(strange)}, of which none is"
        keys = ", ".join(PICTURE_KEYS)
        raise RowFault(MALFORMED_IMAGE, f"{words} read; name the picture under one of {keys}")
    return None
