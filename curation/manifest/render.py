"""A query's answer for people (table) and for programs (csv, json, parquet)."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, Final

import pyarrow as pa

from curation.errors import ManifestError

Format = str
CELL_WIDTH: Final = 60


def render(table: pa.Table, format: Format, out: BinaryIO, width: int | None = None) -> None:
    """Write `table` to the binary file `out`.

    Args:
        table: a query's answer.
        format: `table` (aligned text), `csv`, `json` (one array of objects) or `parquet`.
        out: an open binary file, such as ``sys.stdout.buffer``.
        width: columns of the terminal for `table`; as wide as needed when None.

    Raises:
        ManifestError: the format is not one of these.
    """
    if format == "table":
        _table(table, out, width)
    elif format in _WRITERS:
        _WRITERS[format](table, out)
    else:
        raise ManifestError(f"format {format!r} is unknown; allowed: table, csv, json, parquet")


def _table(table: pa.Table, out: BinaryIO, width: int | None) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=SIMPLE_HEAD, pad_edge=False)
    for field in table.schema:
        right = pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
        grid.add_column(Text(field.name), justify="right" if right else "left")
    for line in zip(*(column.to_pylist() for column in table.columns), strict=True):
        grid.add_row(*(Text(_cell(value)) for value in line))
    text = io.StringIO()
    console = Console(file=text, width=width or 1_000_000, no_color=True, legacy_windows=False)
    console.print(grid)
    rows = f"{table.num_rows:,} row{'' if table.num_rows == 1 else 's'}\n"
    lines = [line.rstrip() for line in text.getvalue().splitlines()]
    out.write(("\n".join(lines).strip("\n") + "\n" + rows).encode())


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    text = value if isinstance(value, str) else _words(value)
    text = " ".join(text.split())
    return text if len(text) <= CELL_WIDTH else text[: CELL_WIDTH - 1] + "…"


def _words(value: Any) -> str:
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


def _csv(table: pa.Table, out: BinaryIO) -> None:
    """CSV with a header; lists and structs become JSON text."""
    import csv

    text = io.TextIOWrapper(out, encoding="utf-8", newline="", write_through=True)
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.column_names)
    for line in zip(*(column.to_pylist() for column in table.columns), strict=True):
        writer.writerow(["" if value is None else _words_or_text(value) for value in line])
    text.detach()


def _words_or_text(value: Any) -> Any:
    return value if isinstance(value, str | int | float) else _words(value)


def _json(table: pa.Table, out: BinaryIO) -> None:
    lines = (json.dumps(line, ensure_ascii=False, default=str) for line in table.to_pylist())
    out.write(b"[")
    for number, line in enumerate(lines):
        out.write(("\n " if number == 0 else ",\n ").encode() + line.encode())
    out.write(b"\n]\n" if table.num_rows else b"]\n")


def _parquet(table: pa.Table, out: BinaryIO) -> None:
    import pyarrow.parquet as pq

    buffer = io.BytesIO()  # a terminal or pipe cannot seek
    pq.write_table(table, buffer, compression="zstd")
    out.write(buffer.getvalue())


_WRITERS: Final[Mapping[str, Callable[[pa.Table, BinaryIO], None]]] = {
    "csv": _csv,
    "json": _json,
    "parquet": _parquet,
}
