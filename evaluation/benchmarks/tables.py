"""Read records of published files: JSON, JSON Lines, CSV, TSV and Parquet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from evaluation.benchmarks.dataset_files import Published
from medsift.errors import InputError

Record = Mapping[str, Any]
BATCH: Final = 64
"""Records of a Parquet file in memory at once; each may bring pictures."""
CELL_BYTES: Final = 1 << 30
"""Longest cell of a CSV or TSV file; some hold a picture."""


def find_files(published: Published, *patterns: str) -> list[str]:
    """Return the names of the files that match. Raises InputError when there are none."""
    names = published.names(*patterns)
    if not names:
        raise InputError(
            f"{published.source!r} holds no {' or '.join(patterns)}: name the folder that was "
            "published, as it was",
            code="benchmark_missing",
            path=published.source,
            patterns=list(patterns),
        )
    return names


def read_records(published: Published, name: str, needed: Collection[str]) -> Iterator[Record]:
    """Yield the records of one file, in order.

    Raises InputError when the file cannot be read or a record lacks a `needed` column.
    """
    readers = {
        ".json": _json,
        ".jsonl": _json_lines,
        ".csv": _separated,
        ".tsv": _separated,
        ".parquet": _parquet,
    }
    try:
        for record in readers[PurePosixPath(name).suffix.lower()](published, name):
            if not isinstance(record, Mapping):
                raise InputError(
                    f"{name} holds {type(record).__name__}, not records",
                    code="benchmark_unreadable",
                    file=name,
                )
            absent = [column for column in needed if column not in record]
            if absent:
                raise InputError(
                    f"{name} of {published.source!r} lacks {', '.join(absent)}; it has "
                    f"{', '.join(sorted(map(str, record)))}",
                    code="benchmark_unreadable",
                    file=name,
                    missing=absent,
                    found=sorted(map(str, record)),
                )
            yield record
    except (ValueError, csv.Error, pa.ArrowException) as error:
        raise InputError(
            f"{name} of {published.source!r} cannot be read: {error}",
            code="benchmark_unreadable",
            file=name,
        ) from error


def text_of(value: Any) -> str:
    """Return a value as text; None is empty."""
    return "" if value is None else str(value)


def bytes_of(value: Any) -> bytes | None:
    """Return the bytes of a picture inside a table: {bytes, path} or the bytes themselves."""
    data = value.get("bytes") if isinstance(value, Mapping) else value
    return data if isinstance(data, bytes) else None


def _json(published: Published, name: str) -> Iterator[Any]:
    records = json.loads(published.read(name).decode("utf-8-sig"))
    if not isinstance(records, list):
        raise InputError(
            f"{name} of {published.source!r} is no list of records",
            code="benchmark_unreadable",
            file=name,
        )
    yield from records


def _json_lines(published: Published, name: str) -> Iterator[Any]:
    for line in published.read(name).decode("utf-8-sig").split("\n"):
        if line.strip():
            yield json.loads(line)


def _separated(published: Published, name: str) -> Iterator[Any]:
    csv.field_size_limit(CELL_BYTES)
    path = published.path(name)
    separator = "\t" if name.lower().endswith(".tsv") else ","
    if path is not None:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            yield from csv.DictReader(lines, delimiter=separator)
    else:
        text = published.read(name).decode("utf-8-sig")
        yield from csv.DictReader(io.StringIO(text, newline=""), delimiter=separator)


def _parquet(published: Published, name: str) -> Iterator[Any]:
    source = published.path(name) or io.BytesIO(published.read(name))
    with pq.ParquetFile(source) as file:
        for batch in file.iter_batches(BATCH):
            yield from batch.to_pylist()
