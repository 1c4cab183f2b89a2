"""Read Arrow columns as Python values by the rules of JSON: no NaN, containers as JSON."""

from __future__ import annotations

import json
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

_LISTS: Final = (
    *(pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list),
    *(pa.types.is_list_view, pa.types.is_large_list_view),
)
_BYTES: Final = (
    *(pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary),
    pa.types.is_binary_view,
)


def is_list(kind: pa.DataType) -> bool:
    """Return whether a type is a list of any layout."""
    return any(test(kind) for test in _LISTS)


def is_bytes(kind: pa.DataType) -> bool:
    """Return whether a type is bytes of any layout."""
    return any(test(kind) for test in _BYTES)


def is_container(kind: pa.DataType) -> bool:
    """Return whether a type is a list, an object or bytes, and not a scalar."""
    nested = is_list(kind) or pa.types.is_struct(kind) or pa.types.is_map(kind)
    return bool(nested or is_bytes(kind))


def without_nan(column: Any) -> Any:
    """Return a column in which NaN and infinities, which JSON cannot write, are null."""
    if not pa.types.is_floating(column.type):
        return column
    return pc.if_else(pc.is_finite(column), column, pa.scalar(None, column.type))


def as_values(column: Any, plain: bool) -> list[Any]:
    """Return the values of a column; unless `plain`, containers as their JSON text.

    Bytes are the UTF-8 text they hold; other bytes stay bytes.
    """
    values: list[Any] = column.to_pylist()
    if plain or not is_container(column.type):
        return values
    return [None if value is None else _text(value) for value in values]


def _text(value: Any) -> Any:
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            return value
    return json.dumps(value, ensure_ascii=False, default=_plain_text)


def _plain_text(value: Any) -> str:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)
