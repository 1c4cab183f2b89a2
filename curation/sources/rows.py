"""Mapped records become the ``ROWS`` table: pictures resolved, chats read, faults written down."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

import pyarrow as pa

from curation import records
from curation.errors import InputError
from curation.sources.base import BlobStore
from curation.sources.batches import Bad, whole_text
from curation.sources.conversations import Turn, json_value, read_conversation, with_options
from curation.sources.mapping import ALIASES, CONTENT, Mapped
from curation.sources.references import resolve


@dataclass(frozen=True, slots=True)
class Place:
    """Where rows come from and where their pictures are."""

    source: str
    file: str
    image_root: str | None
    blobs: BlobStore


class _Fault(Exception):
    """A record that cannot be used, with its reason code; never leaves this file."""

    def __init__(self, reason: str, detail: object) -> None:
        super().__init__(str(detail))
        self.reason = reason


def build_rows(place: Place, mapped: Mapped, named: Sequence[str]) -> pa.Table:
    """The rows of a batch in the order of their indexes; `named` are the recipe's targets."""
    lines = [_failed(place, bad) for bad in mapped.bad]
    extra = [name for name in named if name not in CONTENT and name not in records.TAGS]
    for at, index in enumerate(mapped.indexes):
        values = {name: column[at] for name, column in mapped.values.items()}
        own = None if mapped.images is None else mapped.images[at]
        try:
            line = _content(place, values, own, named)
        except _Fault as fault:
            lines.append(_failed(place, Bad(index, fault.reason, str(fault))))
            continue
        options = line.pop("options")
        more = {name: values[name] for name in extra} | ({"options": options} if options else {})
        line |= {tag: values.get(tag) for tag in records.TAGS}
        line["extra"] = json.dumps(more, sort_keys=True, ensure_ascii=False) if more else None
        lines.append(_identity(place, index) | line | {"notes": mapped.notes[at]})
    lines.sort(key=lambda line: line["index"])
    return pa.Table.from_pylist(lines, schema=records.ROWS)


def store_image(value: Any, image_root: str | None, blobs: BlobStore) -> str:
    """The reference of one picture: bytes and data: URLs are stored, paths and URLs resolved.

    Raises InputError for a reference that may not be followed.
    """
    if isinstance(value, Mapping):
        value = value.get("bytes") or value.get("path") or value.get("url")
    if isinstance(value, (bytes, bytearray, memoryview)):
        return blobs.put(bytes(value))
    if not isinstance(value, str):
        raise InputError(f"an image must be a path, a URL or bytes, not {type(value).__name__}")
    if value[:5].lower() == "data:":
        return blobs.put(_data_url(value))
    return resolve(value, image_root)


def _identity(place: Place, index: int) -> dict[str, Any]:
    return {
        "row_id": records.row_id(place.source, place.file, index),
        "source": place.source,
        "file": place.file,
        "index": index,
    }


def _failed(place: Place, bad: Bad) -> dict[str, Any]:
    return _identity(place, bad.index) | {
        "notes": [],
        "error": bad.error,
        "detail": whole_text(bad.detail),
    }


def _content(
    place: Place, values: Mapping[str, Any], own: Sequence[str] | None, named: Sequence[str]
) -> dict[str, Any]:
    turns, inside, options = _turns(values, named)
    given = _flat(_first(values, "images", named))
    try:
        # Pictures inside the chat stand where they are meant; the column repeats or completes them.
        images = [store_image(item, place.image_root, place.blobs) for item in inside or given]
    except InputError as error:
        raise _Fault("reference_escapes", error) from error
    return {"messages": turns, "images": [*(own or ()), *images], "options": options}


def _turns(
    values: Mapping[str, Any], named: Sequence[str]
) -> tuple[list[Turn], list[Any], list[str]]:
    chat = _first(values, "messages", named)
    try:
        if chat is not None and chat != "":
            turns, images = read_conversation(chat)
            return turns, images, []
        question, options = with_options(values.get("question"), values.get("options"))
    except InputError as error:
        raise _Fault("malformed_messages", error) from error
    answer = values.get("answer")
    pair: list[Turn] = [
        {"role": "user", "content": question},
        {"role": "assistant", "content": answer},
    ]
    return pair, [], options


def _first(values: Mapping[str, Any], target: str, named: Sequence[str]) -> Any:
    names = (target,) if target in named else (target, *ALIASES.get(target, ()))
    return next((found for name in names if (found := values.get(name)) is not None), None)


def _flat(value: Any) -> list[Any]:
    found = json_value(value)
    if found is None or found == "" or found == b"":
        return []
    if isinstance(found, Mapping) and not any(found.values()):
        return []
    if isinstance(found, (list, tuple)):
        return [item for part in found for item in _flat(part)]
    return [found]


def _data_url(url: str) -> bytes:
    head, comma, body = url.partition(",")
    if not comma:
        raise InputError("a data: URL without a comma holds no image")
    data = unquote_to_bytes(body)
    if not head.lower().endswith(";base64"):
        return data
    try:
        return base64.b64decode(b"".join(data.split()), validate=True)
    except binascii.Error as error:
        raise InputError(f"a data: URL is not base64: {error}") from error
