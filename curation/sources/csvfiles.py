"""CSV and TSV with a header line; every cell arrives as text and an empty cell as null."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterator
from typing import Any

from curation.errors import InputError
from curation.sources.batches import Bad

Record = tuple[int, dict[str, Any] | Bad]


def records(stream: Any, name: str, delimiter: str) -> Iterator[Record]:
    """(place below the header, cells by column or why not) of each line of a CSV file.

    Raises InputError for a bad header and for a quote that never closes, which hides what follows.
    """
    # Bytes that are not UTF-8 travel as surrogates, so that one bad cell costs one row.
    text = io.TextIOWrapper(stream, "utf-8-sig", "surrogateescape", newline="")
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    rows = csv.reader(text, delimiter=delimiter, strict=True)
    header = _header(rows, name)
    for index, cells in enumerate(_rows(rows, name)):
        if cells is not None:
            yield index, _record(index, header, cells)


def _header(rows: Any, name: str) -> list[str]:
    try:
        header = [cell.strip() for cell in next(rows, [])]
    except csv.Error as error:
        raise InputError(f"{name}: the header cannot be read: {error}") from error
    twice = sorted({cell for cell in header if header.count(cell) > 1})
    if twice:
        raise InputError(f"{name}: the header names {twice[0]!r} twice; give columns unique names")
    if any(_broken(cell) for cell in header):
        raise InputError(f"{name}: the header is not UTF-8; convert the file to UTF-8")
    return header


def _rows(rows: Any, name: str) -> Iterator[list[str] | str | None]:
    while True:
        begun = rows.line_num + 1
        try:
            cells = next(rows, None)
        except csv.Error as error:
            if "end of data" in str(error):
                raise InputError(
                    f"{name}: the quote opened on line {begun} never closes; close it"
                ) from error
            yield str(error)
            continue
        if cells is None:
            return
        yield cells or None


def _record(index: int, header: list[str], cells: list[str] | str) -> dict[str, Any] | Bad:
    if isinstance(cells, str):
        return Bad(index, "malformed_csv", cells)
    if len(cells) != len(header):
        return Bad(index, "malformed_csv", f"{len(cells)} cells under {len(header)} columns")
    if any(_broken(cell) for cell in cells):
        return Bad(index, "not_utf8", "a cell holds bytes that are not UTF-8")
    return {column: cell or None for column, cell in zip(header, cells, strict=True)}


def _broken(cell: str) -> bool:
    return not cell.isascii() and any("\udc80" <= letter <= "\udcff" for letter in cell)
