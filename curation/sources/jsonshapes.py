"""Recognise how a JSON file holds its records: as lines, as an array, under a key, or as columns.

Raises InputError with the true cause for a file that holds them in none of these ways.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, Literal

from curation.sources.jsonfiles import BOM, WHITE, split_lines
from curation.sources.record_batches import Bad, parse_json
from medsift.errors import InputError

Shape = Literal["json", "jsonl", "object", "columns"]
WHOLE_BYTES: Final = 256 << 20
"""Most bytes of a file that must be parsed as one object."""
HEAD_BYTES: Final = 4096
WIDE: Final = {
    b"\xff\xfe\x00\x00": "UTF-32",
    b"\x00\x00\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
CHAT: Final = {"role", "from", "type"}
RECORD_KEYS: Final = {"question", "answer", "prompt", "caption", "text"}
OPENING: Final = (b"{", b"[", b"[{", b"{{")


def shape_of(stream: Any, name: str, lines: bool, most: int) -> Shape:
    """The shape of a file; `lines` is whether its name says JSON Lines, `most` bytes of a line."""
    head = stream.read(HEAD_BYTES)
    check_encoding(head, name)
    stream.seek(0)
    first = head.removeprefix(BOM).lstrip(WHITE)[:1]
    if first == b"[":
        return "jsonl" if lines and _more_lines(stream, most, list) else "json"
    if first != b"{" or _more_lines(stream, most, dict):
        return "jsonl"
    return _of_object(stream, name, lines)


def check_encoding(head: bytes, name: str) -> None:
    """Raise InputError for a file that is UTF-16 or UTF-32."""
    mark = next((kind for mark, kind in WIDE.items() if head.startswith(mark)), None)
    if mark is None and len(head) > 3 and (head[0] == 0) != (head[1] == 0):
        mark = "UTF-16"
    if mark is not None:
        raise InputError(
            f"{name}: the file is {mark}; convert it to UTF-8",
            code="encoding_unknown",
            file=name,
        )


def columns_of(stream: Any, shape: Shape) -> list[dict[str, Any]]:
    """The records of a file that is one object: itself, or the rows of its columns."""
    value = parse_json(stream.read().removeprefix(BOM))
    if shape == "object":
        return [value]
    names = list(value)
    columns = [list(_cells(value[name])) for name in names]
    return [dict(zip(names, cells, strict=True)) for cells in zip(*columns, strict=True)]


def explained(bad: Bad, data: bytes) -> Bad:
    """`bad` with what the line looks like, where that says more than the parser."""
    hint = _hint(data.strip(WHITE))
    return Bad(bad.index, bad.error, f"{bad.detail} ({hint})") if hint else bad


def _more_lines(stream: Any, most: int, kind: type) -> bool:
    """Whether the first line is a whole value of that kind and another line follows."""
    filled = (
        line
        for line in split_lines(stream, None, most)
        if line is None or line.removeprefix(BOM).strip(WHITE)
    )
    first = next(filled, None)
    more = (
        first is not None
        and isinstance(_parsed(first.removeprefix(BOM)), kind)
        and next(filled, b"") != b""
    )
    stream.seek(0)
    return more


def _parsed(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _of_object(stream: Any, name: str, lines: bool) -> Shape:
    """The shape of a file that starts with an object and is not lines of them."""
    whole = stream.read(WHOLE_BYTES + 1)
    if len(whole) > WHOLE_BYTES and any(
        isinstance(_parsed(line), dict) for line in whole[:WHOLE_BYTES].split(b"\n", 20)[:20]
    ):
        return "jsonl"  # its first line is broken, as any may be
    if len(whole) > WHOLE_BYTES:
        raise InputError(
            f"{name}: one JSON object of more than {WHOLE_BYTES:,} bytes; say with records under"
            " which key its list of records is, or write the file as JSON Lines",
            code="json_shape_unknown",
            file=name,
        )
    try:
        value = json.loads(whole.removeprefix(BOM))
    except (ValueError, RecursionError) as error:
        first = whole.removeprefix(BOM).lstrip(WHITE).split(b"\n", 1)[0].strip(WHITE)
        if first in OPENING:
            raise InputError(
                f"{name}: its objects run over several lines and are not one JSON value"
                f" ({_line(error)}); write one object a line, or a list",
                code="json_shape_unknown",
                file=name,
            ) from error
        return "jsonl"
    shape: Shape = "object" if _is_record(value, lines) else _of_value(value, name)
    one_line = b"\n" not in whole.strip(WHITE)
    return "jsonl" if shape == "object" and one_line else shape


def _is_record(value: Mapping[str, Any], lines: bool) -> bool:
    """Whether an object is a record for all the lists it may hold."""
    scalars = {key for key, item in value.items() if isinstance(item, (str, int, float))}
    chats = any(_is_chat(item) for item in value.values())
    return not value or chats or bool(scalars & RECORD_KEYS) or (lines and bool(scalars))


def _of_value(value: Mapping[str, Any], name: str) -> Shape:
    items = list(value.values())
    listed = [key for key in value if _holds_objects(value[key])]
    if all(isinstance(item, list) for item in items) and len(listed) < len(items):
        return _of_lists(value, name)
    if listed or (len(items) == 1 and items[0] == []):
        shown = ", ".join(f"{key!r} ({len(value[key])})" for key in listed or value)
        raise InputError(
            f"{name}: one JSON object, no list of records; these keys hold lists of objects:"
            f" {shown}; say which with records, for example records: {(listed or [*value])[0]}",
            code="json_shape_unknown",
            file=name,
        )
    if all(isinstance(item, dict) and item for item in items):
        return _of_objects(value, name)
    return "object"


def _of_lists(value: Mapping[str, Any], name: str) -> Shape:
    lengths = {key: len(items) for key, items in value.items()}
    if len(set(lengths.values())) == 1:
        return "columns"
    shown = ", ".join(f"{key!r}: {count}" for key, count in lengths.items())
    raise InputError(
        f"{name}: one JSON object of lists of different lengths ({shown}); write a list of records"
        " (pandas: orient='records')",
        code="json_shape_unknown",
        file=name,
    )


def _of_objects(value: Mapping[str, Any], name: str) -> Shape:
    keys = [tuple(item) for item in value.values()]
    numbered = all(key.isdigit() for key in keys[0])
    if numbered and len(set(keys)) == 1 and not all(key.isdigit() for key in value):
        return "columns"
    raise InputError(
        f"{name}: one JSON object of {len(value)} objects by key (the first is"
        f" {next(iter(value))!r}), no list of records; write a list of records (pandas:"
        " orient='records')",
        code="json_shape_unknown",
        file=name,
    )


def _cells(column: Any) -> Any:
    return column.values() if isinstance(column, dict) else column


def _holds_objects(item: Any) -> bool:
    return isinstance(item, list) and bool(item) and all(isinstance(one, dict) for one in item)


def _is_chat(item: Any) -> bool:
    return _holds_objects(item) and all(CHAT & set(one) for one in item)


def _hint(text: bytes) -> str | None:
    if text in OPENING or text in (b"}", b"]", b"},", b"],"):
        return "an object must stand on one line"
    if text[:1] in (b"#", b"/"):
        return "JSON has no comments"
    if text.endswith(b",") and isinstance(_parsed(text[:-1]), dict):
        return "the line ends with a comma"
    if text[:2] == b"{'" or b"': " in text[:200]:
        return "JSON takes double quotes, not single ones"
    return None


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or "nested too deeply"
