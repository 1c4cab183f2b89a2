"""Recognise how a JSON file holds its records: as lines, an array, under a key, or as columns.

Raises InputError with the true cause for a file that holds them in none of these ways.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from curation.sources.jsonfiles import BOM, WHITE, split_lines
from curation.sources.record_batches import Bad, parse_json
from medsift.errors import InputError

Shape = Literal["json", "jsonl", "object", "columns"]
WHOLE_BYTES: Final = 256 << 20
"""Most bytes of a file that must be parsed as one object."""
HEAD_BYTES: Final = 4096
WIDE: Final = {
    **dict.fromkeys((b"\xff\xfe\x00\x00", b"\x00\x00\xfe\xff"), "UTF-32"),
    **dict.fromkeys((b"\xff\xfe", b"\xfe\xff"), "UTF-16"),
}
CHAT: Final = {"role", "from", "type"}
RECORD_KEYS: Final = {"question", "answer", "prompt", "caption", "text"}
WRITE_RECORDS: Final = "write a list of records (pandas: orient='records')"
OPENING: Final = (b"{", b"[", b"[{", b"{{")


def shape_of(stream: Any, name: str, lines: bool, most: int) -> Shape:
    """Return the shape of a JSON file, judged by its content.

    Args:
        stream: The file, open for reading bytes; it must be seekable.
        name: Its name in errors.
        lines: Whether its name says JSON Lines.
        most: Bytes of a line at most.
    """
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
        words = f"{name}: the file is {mark}; convert it to UTF-8"
        raise InputError(words, code="encoding_unknown", file=name)


def columns_of(stream: Any, shape: Shape) -> list[dict[str, Any]]:
    """Return the records of a file that is one object: itself, or the rows of its columns."""
    value = parse_json(stream.read().removeprefix(BOM))
    if shape == "object":
        return [value]
    names = list(value)
    # pandas writes a column as an object by row number, others write a list.
    columns = [
        list(cells.values() if isinstance(cells, dict) else cells) for cells in value.values()
    ]
    return [dict(zip(names, cells, strict=True)) for cells in zip(*columns, strict=True)]


def explained(bad: Bad, data: bytes) -> Bad:
    """Add what the line looks like to `bad`, where that says more than the parser."""
    hint = _hint(data.strip(WHITE))
    return Bad(bad.index, bad.error, f"{bad.detail} ({hint})") if hint else bad


def _more_lines(stream: Any, most: int, kind: type) -> bool:
    """Whether the first line is a complete value of that kind and another line follows."""
    lines = split_lines(stream, None, most)
    filled = (line for line in lines if line is None or line.removeprefix(BOM).strip(WHITE))
    first = next(filled, None)
    whole = first is not None and isinstance(_parsed(first.removeprefix(BOM)), kind)
    more = whole and next(filled, b"") != b""
    stream.seek(0)
    return more


def _parsed(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _of_object(stream: Any, name: str, lines: bool) -> Shape:
    """Return the shape of a file that starts with an object and is not lines of them."""
    content = stream.read(WHOLE_BYTES + 1)
    if len(content) > WHOLE_BYTES:
        head = content[:WHOLE_BYTES].split(b"\n", 20)[:20]
        if any(isinstance(_parsed(line), dict) for line in head):
            return "jsonl"  # its first line is broken, as any may be
        words = f"one JSON object of more than {WHOLE_BYTES:,} bytes; say with records under which"
        words += " key its list of records is, or write the file as JSON Lines"
        raise _unknown(name, words)
    try:
        value = json.loads(content.removeprefix(BOM))
    except (ValueError, RecursionError) as error:
        first = content.removeprefix(BOM).lstrip(WHITE).split(b"\n", 1)[0].strip(WHITE)
        if first in OPENING:
            cause = " ".join(str(error).split()) or "nested too deeply"
            words = f"its objects run over several lines and are not one JSON value ({cause})"
            raise _unknown(name, f"{words}; write one object a line, or a list") from error
        return "jsonl"
    shape: Shape = "object" if _is_record(value, lines) else _of_value(value, name)
    one_line = b"\n" not in content.strip(WHITE)
    return "jsonl" if shape == "object" and one_line else shape


def _is_record(value: Mapping[str, Any], lines: bool) -> bool:
    """Whether an object is one record, whatever lists it holds."""
    scalars = {key for key, item in value.items() if isinstance(item, (str, int, float))}
    chats = any(
        _holds_objects(item) and all(CHAT & set(turn) for turn in item) for item in value.values()
    )
    return not value or chats or bool(scalars & RECORD_KEYS) or (lines and bool(scalars))


def _of_value(value: Mapping[str, Any], name: str) -> Shape:
    items = list(value.values())
    listed = [key for key in value if _holds_objects(value[key])]
    if all(isinstance(item, list) for item in items) and len(listed) < len(items):
        lengths = {key: len(value[key]) for key in value}
        if len(set(lengths.values())) == 1:
            return "columns"
        counts = ", ".join(f"{key!r}: {count}" for key, count in lengths.items())
        words = f"one JSON object of lists of different lengths ({counts})"
        raise _unknown(name, f"{words}; {WRITE_RECORDS}")
    if listed or (len(items) == 1 and items[0] == []):
        keys = listed or list(value)
        counts = ", ".join(f"{key!r} ({len(value[key])})" for key in keys)
        words = f"one JSON object, no list of records; these keys hold lists of objects: {counts}"
        example = f"say which with records, for example records: {keys[0]}"
        raise _unknown(name, f"{words}; {example}", keys)
    if not all(isinstance(item, dict) and item for item in items):
        return "object"
    keys_of = {tuple(item) for item in items}
    numbered = all(key.isdigit() for key in items[0])
    # pandas writes {column: {row number: cell}}: columns are named, and all have the same rows.
    if numbered and len(keys_of) == 1 and not all(key.isdigit() for key in value):
        return "columns"
    words = f"one JSON object of {len(value)} objects by key (the first is {next(iter(value))!r})"
    raise _unknown(name, f"{words}, no list of records; {WRITE_RECORDS}")


def _unknown(name: str, words: str, keys: Sequence[str] = ()) -> InputError:
    return InputError(f"{name}: {words}", code="json_shape_unknown", file=name, keys=list(keys))


def _holds_objects(item: Any) -> bool:
    return isinstance(item, list) and bool(item) and all(isinstance(part, dict) for part in item)


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
