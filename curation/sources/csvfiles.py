"""CSV and TSV with a header line; every cell arrives as text and an empty cell as null."""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain, islice
from typing import Any, Final

from curation.sources.record_batches import Bad
from medsift.errors import InputError

Record = tuple[int, dict[str, Any] | Bad]
SEPARATORS: Final = (",", ";", "\t", "|")
HEAD_LETTERS: Final = 1 << 16
LOOKED_AT: Final = 50
AGREE: Final = 0.9
"""Share of the first records that must have as many cells as the header to settle a separator."""
SEPARATOR_LINE: Final = re.compile(r"sep=(.)\s*", re.IGNORECASE)
COMMENT: Final = "#"
WIDE: Final = ("\udcff\udcfe", "\udcfe\udcff")
"""The marks of UTF-16, as bytes that are not UTF-8 are read."""


def records(stream: Any, name: str, separator: str | None, most: int) -> Iterator[Record]:
    """Yield (index below the header, cells by column or why not) of each record of a CSV file.

    Lines that start with ``#`` before the header are comments. Columns without a name are called
    `column0` and so on by position. Raises InputError for a bad header, for a line that is too
    long, and for a quote that never closes, which hides what follows.

    Args:
        stream: The file, open for reading bytes.
        name: Its name in errors.
        separator: What stands between cells; None takes it from a first line `sep=;`, or else
            finds it in the start of the file.
        most: Letters of a line, and of a cell, at most.
    """
    # Bytes that are not UTF-8 travel as surrogates, so that one bad cell costs one row.
    text = io.TextIOWrapper(stream, "utf-8-sig", "surrogateescape", newline="")
    head = text.read(HEAD_LETTERS)
    head += text.readline(most)
    separator, skipped = _dialect(head, name, separator)
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1, most))
    content = chain(io.StringIO(head, newline=""), iter(lambda: text.readline(most + 1), ""))
    rows = csv.reader(
        islice(_bounded(content, name, most), skipped, None), delimiter=separator, strict=True
    )
    header, named = _header(rows, name)
    for index, cells in enumerate(_rows(rows, name)):
        if cells is not None:
            yield index, _record(index, header, named, cells)


def _bounded(lines: Iterator[str], name: str, most: int) -> Iterator[str]:
    for place, line in enumerate(lines, 1):
        if len(line) > most:
            words = f"{name}: line {place} has more than {most:,} letters (line_bytes)"
            raise InputError(words, code="line_too_long", file=name, line=place, most=most)
        yield line


def _dialect(head: str, name: str, separator: str | None) -> tuple[str, int]:
    """Return the separator, and the number of lines before the header."""
    lines = list(io.StringIO(head, newline=""))
    if "\0" in head[:4] or head.startswith(WIDE):
        words = f"{name}: the file is UTF-16; convert it to UTF-8"
        raise InputError(words, code="encoding_unknown", file=name)
    if lines and (named := SEPARATOR_LINE.fullmatch(lines[0])):
        return separator or named[1], 1
    comments = 0
    while comments < len(lines) - 1 and lines[comments].startswith(COMMENT):
        comments += 1
    separator = separator or _separator(lines[comments:], name)
    # A header may itself begin with the sign: it has as many cells as the line below it.
    if comments:
        width = _widths(lines[comments:], separator)[0]
        if width > 1 and _widths(lines[comments - 1 :], separator)[0] == width:
            comments -= 1
    return separator, comments


def _widths(lines: list[str], separator: str) -> list[int]:
    """Return the number of cells of each of the first records."""
    rows = csv.reader(lines, delimiter=separator)
    counts: list[int] = []
    with suppress(csv.Error):  # the reader itself says where the file is broken
        counts.extend(len(row) for row in islice(rows, LOOKED_AT) if row)
    return counts or [0]


def _separator(lines: list[str], name: str) -> str:
    """Find the separator under which the header has several cells and the records as many."""
    widths = {separator: _widths(lines, separator) for separator in SEPARATORS}
    wide = {separator: counts for separator, counts in widths.items() if counts[0] > 1}
    sure = [
        separator
        for separator, (width, *counts) in wide.items()
        if counts.count(width) >= AGREE * len(counts)
    ]
    if "," in sure or not wide or ("," in wide and not sure):
        return ","
    if len(sure) == 1:
        return sure[0]
    likely = " or ".join(repr(separator) for separator in sure or wide)
    words = f"{name}: is {likely} the separator? Say which with separator"
    raise InputError(words, code="separator_unclear", file=name)


def _header(rows: Any, name: str) -> tuple[list[str], int]:
    """Return the columns' names, and the position of the last that the file itself names."""
    try:
        cells = [cell.strip() for cell in next(rows, [])]
    except csv.Error as error:
        words = f"{name}: the header cannot be read: {error}"
        raise InputError(words, code="csv_header_unreadable", file=name) from error
    header = [cell or f"column{position}" for position, cell in enumerate(cells)]
    twice = sorted({cell for cell in header if header.count(cell) > 1})
    if twice:
        words = f"{name}: the header names {twice[0]!r} twice; give columns unique names"
        raise InputError(words, code="csv_header_unreadable", file=name, column=twice[0])
    if any(map(_broken, header)):
        words = f"{name}: the header is not UTF-8; convert the file to UTF-8"
        raise InputError(words, code="encoding_unknown", file=name)
    last = max((position for position, cell in enumerate(cells, 1) if cell), default=0)
    return header, last


def _rows(rows: Any, name: str) -> Iterator[list[str] | str | None]:
    while True:
        begun = rows.line_num + 1
        try:
            yield next(rows) or None
        except StopIteration:
            return
        except csv.Error as error:
            problem = str(error)
            if "end of data" in problem or "field limit" in problem:
                words = f"{name}: the quote opened on line {begun} never closes; close it"
                values = {"file": name, "format": "csv", "line": begun}
                raise InputError(words, code="file_broken", **values) from error
            yield problem


def _record(
    index: int, header: list[str], named: int, cells: list[str] | str
) -> dict[str, Any] | Bad:
    if isinstance(cells, str):
        return Bad(index, "malformed_csv", cells)
    # Separators at the end of a line, of the header or of a record, add no cell.
    if named <= len(cells) < len(header):
        cells = [*cells, *[""] * (len(header) - len(cells))]
    if len(cells) > len(header) and not any(cells[len(header) :]):
        cells = cells[: len(header)]
    if len(cells) != len(header):
        return Bad(index, "malformed_csv", f"{len(cells)} cells under {len(header)} columns")
    if any(map(_broken, cells)):
        return Bad(index, "not_utf8", "a cell holds bytes that are not UTF-8")
    return {column: cell or None for column, cell in zip(header, cells, strict=True)}


def _broken(cell: str) -> bool:
    return not cell.isascii() and any("\udc80" <= letter <= "\udcff" for letter in cell)
