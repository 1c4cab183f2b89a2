"""Define batches of raw records, which file formats yield before the columns are mapped."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa

from curation.sources.side_columns import side_columns

BATCH_ROWS: Final = 5_000
BATCH_BYTES: Final = 64 << 20
_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")
DEEPEST_RECORD: Final = 100
"""Levels of a JSON record; published data has four or five."""


@dataclass(frozen=True, slots=True)
class Bad:
    """A record that could not be read: its index, a reason code and an explanation."""

    index: int
    error: str
    detail: str


@dataclass(frozen=True, slots=True)
class Batch:
    """Readable records as a table (row i has index `indexes[i]`) and the unreadable ones.

    `kinds[column][row]` names the type of a scalar that was not a string in an untyped format.
    `images`, where given, are resolved references that came with the record itself, and `members`
    the names under which the record may name them. `notes[row]` are what the reader itself notes.
    """

    indexes: Sequence[int]
    table: pa.Table
    bad: Sequence[Bad] = ()
    kinds: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    images: Sequence[Sequence[str]] | None = None
    members: Sequence[Sequence[str]] | None = None
    notes: Sequence[Sequence[str]] | None = None


class Literal(float):
    """A JSON number with a fraction or exponent that remembers how it was written."""

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> Literal:
        """Parse `text`."""
        number = super().__new__(cls, text)
        number.text = text
        return number


def parse_json(line: bytes) -> Any:
    """Parse one JSON value; NaN and infinities are null. Raises ValueError, also for bad UTF-8."""
    return json.loads(line.decode("utf-8"), parse_float=Literal, parse_constant=lambda _: None)


def read_record(index: int, data: bytes) -> dict[str, Any] | Bad:
    """Return the object written in `data`, or why there is none."""
    try:
        value = parse_json(data)
    except UnicodeDecodeError as error:
        return Bad(index, "not_utf8", f"byte {error.start} of the record: {error.reason}")
    except (ValueError, RecursionError) as error:
        return Bad(index, "malformed_json", str(error) or "nested too deeply")
    # What is nested deeper than this can be parsed and then not written again.
    if data.count(b"[") + data.count(b"{") > DEEPEST_RECORD and too_deep(value, DEEPEST_RECORD):
        return Bad(index, "malformed_json", f"nested more than {DEEPEST_RECORD} deep")
    if not isinstance(value, dict):
        return Bad(index, "not_an_object", f"found {_KINDS.get(type(value), 'a value')}")
    if _SURROGATE.search(data):
        # Columns get their names from these keys, and Arrow takes no half of a UTF-16 pair.
        return {whole_text(key) or "": item for key, item in value.items()}
    return value


def too_deep(value: Any, most: int) -> bool:
    """Return whether lists and objects are nested more than `most` deep."""
    level, depth = [value], 0
    while level := [
        part
        for item in level
        if isinstance(item, (list, tuple, dict))
        for part in (item.values() if isinstance(item, dict) else item)
    ]:
        depth += 1
        if depth > most:
            return True
    return False


def untyped_batch(
    records: Sequence[tuple[int, dict[str, Any]]],
    columns: Sequence[str],
    bad: Sequence[Bad] = (),
    images: Sequence[Sequence[str]] | None = None,
    members: Sequence[Sequence[str]] | None = None,
) -> Batch:
    """Return the `columns` of JSON-like records as strings, so that all batches have one type.

    Scalars become their text, nested values JSON text. Columns that are read next to the targets
    are added.

    Args:
        records: (index, record) of each readable record.
        columns: Wanted columns; `find_column` says which key of a record each means.
        bad: Records of the same part of the file that could not be read.
        images: References of the pictures that came with each record.
        members: The names under which each record may name those pictures.
    """
    known = {name.casefold() for name in columns}
    shapes = [tuple(value) for _, value in records]
    present = dict.fromkeys(name for shape in sorted(set(shapes)) for name in shape)
    side = [name for name in side_columns(present) if name.casefold() not in known]
    columns = [*columns, *side]
    kinds: dict[str, dict[int, str]] = {}
    arrays = [pa.nulls(len(records))]
    for name in columns:
        # Records of one shape mean the same key by a column, so each shape is searched once.
        key_of = {shape: find_column(name, shape) for shape in set(shapes)}
        values = [
            None if (key := key_of[shape]) is None else value[key]
            for shape, (_, value) in zip(shapes, records, strict=True)
        ]
        arrays.append(string_array([cell_text(value) for value in values]))
        kinds[name] = {
            row: kind for row, value in enumerate(values) if (kind := scalar_kind(value))
        }
    table = pa.Table.from_arrays(arrays, names=["", *columns])
    return Batch([index for index, _ in records], table, bad, kinds, images, members)


def find_column(name: str, names: Sequence[str]) -> str | None:
    """Return the column of this exact name, else the only one that differs by case."""
    if name in names:
        return name
    folded = [item for item in names if item.casefold() == name.casefold()]
    return folded[0] if len(folded) == 1 else None


def read_columns(wanted: Iterable[str], names: Sequence[str]) -> list[str]:
    """Return the columns of a file that `wanted` means, and those read next to targets."""
    mapped = [column for name in wanted if (column := find_column(name, names)) is not None]
    return list(dict.fromkeys([*mapped, *side_columns(names)]))


def string_array(values: Sequence[str | None]) -> pa.Array:
    """Return a string array; halves of UTF-16 pairs, which JSON can hold, become U+FFFD."""
    try:
        return pa.array(values, pa.string())
    except UnicodeEncodeError:
        return pa.array([whole_text(value) for value in values], pa.string())


def whole_text(value: str | None) -> str | None:
    """Return `value` with lone surrogates replaced by U+FFFD."""
    if value is None:
        return None
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def cell_text(value: Any) -> str | None:
    """Return the text of one JSON value: strings as they are, others as JSON."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, Literal):
        return value.text
    return json.dumps(value, ensure_ascii=False)


def scalar_kind(value: Any) -> str | None:
    """Return the name of a value's JSON type when it is not a string."""
    if isinstance(value, (list, dict)):
        return "array" if isinstance(value, list) else "object"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    return "number" if isinstance(value, float) else None


_KINDS: Final = {list: "an array", str: "a string", int: "a number", bool: "a boolean"}
