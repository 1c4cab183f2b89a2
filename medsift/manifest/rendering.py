"""Write a query's answer for people (table) and for programs (csv, json, parquet)."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO, Final

import pyarrow as pa

from medsift.errors import ManifestError
from medsift.text import escaped as escape

CELL_WIDTH: Final = 60
_UPPER_CONTROL: Final = re.compile(r"[\x7f-\x9f]")


def render(table: pa.Table, format: str, out: BinaryIO, width: int | None = None) -> None:
    """Write `table` to the binary file `out`.

    Args:
        table: A query's answer.
        format: `table` (aligned text), `csv`, `json` (one array of objects) or `parquet`.
        out: An open binary file, such as ``sys.stdout.buffer``.
        width: Columns of the terminal that shows it; None for a file or a program. A terminal
            gets control characters as escapes.

    Raises:
        ManifestError: the format is not one of these, or Parquet has no type for a column.
    """
    if format not in _WRITERS:
        message = f"format {format!r} is unknown; allowed: {', '.join(_WRITERS)}"
        raise ManifestError(message, code="format_unknown", format=format)
    _WRITERS[format](table, out, width)


def _table(table: pa.Table, out: BinaryIO, width: int | None) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=SIMPLE_HEAD, pad_edge=False)
    for field in table.schema:
        right = pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
        grid.add_column(Text(escape(field.name)), justify="right" if right else "left")
    for line in _lines(table):
        grid.add_row(*(Text(_cell(value)) for value in line))
    text = io.StringIO()
    console = Console(file=text, width=width or 1_000_000, no_color=True, legacy_windows=False)
    console.print(grid)
    rows = f"{table.num_rows:,} row{'' if table.num_rows == 1 else 's'}\n"
    lines = [line.rstrip() for line in text.getvalue().splitlines()]
    out.write(("\n".join(lines).strip("\n") + "\n" + rows).encode())


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    text = escape(" ".join(_words(value).split()))
    return text if len(text) <= CELL_WIDTH else text[: CELL_WIDTH - 1] + "…"


def _words(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


def _lines(table: pa.Table) -> Iterator[tuple[Any, ...]]:
    return zip(*(_values(column) for column in table.columns), strict=True)


def _values(column: pa.ChunkedArray) -> list[Any]:
    """Return a column as Python values; dates outside Python's range become text."""
    try:
        return list(column.to_pylist())
    except OverflowError:
        return [_value(scalar) for scalar in column]


def _value(scalar: pa.Scalar) -> Any:
    try:
        return scalar.as_py()
    except OverflowError:
        if isinstance(scalar, pa.ListScalar | pa.LargeListScalar | pa.FixedSizeListScalar):
            return [_value(item) for item in scalar.values]
        if isinstance(scalar, pa.StructScalar):
            return {name: _value(scalar[name]) for name in scalar}
        return scalar.cast(pa.string()).as_py()


def _csv(table: pa.Table, out: BinaryIO, width: int | None) -> None:
    """Write CSV with a header; lists and structs become JSON text."""
    import csv

    text = io.TextIOWrapper(out, encoding="utf-8", newline="", write_through=True)
    writer = csv.writer(text, lineterminator="\n")
    change = str if width is None else escape
    writer.writerow([change(name) for name in table.column_names])
    for line in _lines(table):
        # Numbers stay numbers: csv writes them with all their digits.
        cells = [value if isinstance(value, int | float) else _words(value) for value in line]
        writer.writerow([change(cell) if isinstance(cell, str) else cell for cell in cells])
    text.detach()


def _json(table: pa.Table, out: BinaryIO, width: int | None) -> None:
    names = table.column_names
    out.write(b"[")
    for number, line in enumerate(_lines(table)):
        text = json.dumps(dict(zip(names, line, strict=True)), ensure_ascii=False, default=str)
        text = _UPPER_CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
        out.write(("\n " if number == 0 else ",\n ").encode() + text.encode())
    out.write(b"\n]\n" if table.num_rows else b"]\n")


def _parquet(table: pa.Table, out: BinaryIO, width: int | None) -> None:
    import pyarrow.parquet as pq

    buffer = io.BytesIO()  # a terminal or pipe cannot seek
    try:
        pq.write_table(table, buffer, compression="zstd")
    except pa.ArrowNotImplementedError as error:
        raise ManifestError(
            f"Parquet cannot hold this answer: {error}; cast to VARCHAR", code="query_invalid"
        ) from error
    out.write(buffer.getvalue())


_WRITERS: Final[Mapping[str, Callable[[pa.Table, BinaryIO, int | None], None]]] = {
    "table": _table,
    "csv": _csv,
    "json": _json,
    "parquet": _parquet,
}
