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
    try:
        for record in READERS[PurePosixPath(name).suffix.lower()](published, name):
            if not isinstance(record, Mapping):
                raise _unreadable(name, f" holds {type(record).__name__}, not records")
            if absent := [column for column in needed if column not in record]:
                has = sorted(map(str, record))
                words = (
                    f" of {published.source!r} lacks {', '.join(absent)}; it has {', '.join(has)}"
                )
                raise _unreadable(name, words, missing=absent, found=has)
            yield record
    except RecursionError as error:
        words = f" of {published.source!r} cannot be read: nested too deeply"
        raise _unreadable(name, words) from error
    except (ValueError, csv.Error, pa.ArrowException) as error:
        raise _unreadable(name, f" of {published.source!r} cannot be read: {error}") from error


def text_of(value: Any) -> str:
    """Return a value as text; None is empty."""
    return "" if value is None else str(value)


def bytes_of(value: Any) -> bytes | None:
    """Return the bytes of a picture inside a table: {bytes, path} or the bytes themselves."""
    data = value.get("bytes") if isinstance(value, Mapping) else value
    return data if isinstance(data, bytes) else None


def _unreadable(name: str, words: str, **values: Any) -> InputError:
    return InputError(f"{name}{words}", code="benchmark_unreadable", file=name, **values)


def _json(published: Published, name: str) -> Iterator[Any]:
    records = json.loads(published.read(name).decode("utf-8-sig"))
    if not isinstance(records, list):
        raise _unreadable(name, f" of {published.source!r} is no list of records")
    yield from records


def _json_lines(published: Published, name: str) -> Iterator[Any]:
    lines = published.read(name).decode("utf-8-sig").split("\n")
    return (json.loads(line) for line in lines if line.strip())


def _separated(published: Published, name: str) -> Iterator[Any]:
    csv.field_size_limit(CELL_BYTES)
    path = published.path(name)
    packed = "" if path else published.read(name).decode("utf-8-sig")
    separator = "\t" if name.lower().endswith(".tsv") else ","
    with (
        path.open(encoding="utf-8-sig", newline="") if path else io.StringIO(packed, newline="")
    ) as lines:
        yield from csv.DictReader(lines, delimiter=separator)


def _parquet(published: Published, name: str) -> Iterator[Any]:
    source = published.path(name) or io.BytesIO(published.read(name))
    with pq.ParquetFile(source) as file:
        for batch in file.iter_batches(BATCH):
            yield from batch.to_pylist()


READERS: Final = {
    **{".json": _json, ".jsonl": _json_lines, ".parquet": _parquet},
    **{".csv": _separated, ".tsv": _separated},
}
