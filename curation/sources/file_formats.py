"""Cut a file of any format into shards, and read a shard in batches."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Final, Literal

import pyarrow as pa

from curation.sources import csvfiles, jsonfiles, jsonshapes, parquetfiles
from curation.sources.files import InputFile
from curation.sources.reader import Kind, Shard
from curation.sources.record_batches import (
    BATCH_BYTES,
    BATCH_ROWS,
    Bad,
    Batch,
    read_record,
    untyped_batch,
)
from medsift.errors import InputError
from medsift.storage.locations import open_input, without_query

Format = Literal["auto", "json", "jsonl", "csv", "tsv", "parquet"]
Plain = Literal["json", "jsonl", "csv", "tsv", "parquet"]
SUFFIXES: Final[dict[str, Plain]] = {
    **{".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl"},
    **{".csv": "csv", ".tsv": "tsv", ".parquet": "parquet", ".pq": "parquet"},
}
SAMPLE_RECORDS: Final = 1_000
Record = tuple[int, dict[str, Any] | Bad]


def suffix_format(name: str) -> Plain | None:
    """Return the format that a file name ends in (``.gz`` aside), or None."""
    plain = name.lower().removesuffix(".gz")
    return SUFFIXES.get("." + plain.rpartition(".")[2])


@dataclass(frozen=True, slots=True)
class Reading:
    """How files are read: `format`, `separator`, `records` and `line_bytes` of the recipe."""

    format: Format = "auto"
    separator: str | None = None
    records: str | None = None
    line_bytes: int = jsonfiles.LINE_BYTES


@dataclass(frozen=True, slots=True)
class FileStart:
    """The columns of a file's first records, their number, and why none of them is readable."""

    schema: pa.Schema
    count: int
    problem: str | None = None
    problem_row: int | None = None


def format_of(name: str, uri: str, reading: Reading) -> Kind:
    """Return a file's format: as declared, else by its suffix; JSON's shape by its content.

    Raises InputError for a suffix that says nothing, and for JSON that holds no records.
    """
    kind = suffix_format(name) if reading.format == "auto" else reading.format
    if kind is None:
        known = sorted(set(SUFFIXES.values()))
        words = f"{name}: no format known for this suffix; set format to one of {known}"
        raise InputError(words, code="source_format_unknown", file=name, known=known)
    if kind not in ("json", "jsonl"):
        return kind
    if reading.records is not None:
        return "under"
    with opened(uri) as stream:
        if reading.format == "jsonl":
            jsonshapes.check_encoding(stream.read(jsonshapes.HEAD_BYTES), name)
            return "jsonl"
        return jsonshapes.shape_of(stream, name, kind == "jsonl", reading.line_bytes)


def cut(file: InputFile, reading: Reading, shard_bytes: int) -> list[Shard]:
    """Cut a file into shards; a format that cannot be entered midway is one shard."""
    if not file.size:
        return []
    kind = format_of(file.name, file.uri, reading)
    if kind == "parquet":
        shards = parquetfiles.group_shards(file, shard_bytes)
    elif kind == "jsonl" and not _is_gzip(file.uri):
        shards = jsonfiles.line_shards(file, shard_bytes)
    else:
        shards = [Shard(file.name, file.uri, 0, -1, 0)]
    return [replace(shard, kind=kind) for shard in shards]


def load(shard: Shard, reading: Reading, columns: Sequence[str]) -> Iterator[Batch]:
    """Yield the `columns` of a shard's records in batches of at most 5,000."""
    kind = shard.kind or format_of(shard.file, shard.uri, reading)
    if kind == "parquet":
        yield from parquetfiles.batches(shard, columns, reading.line_bytes)
        return
    with opened(shard.uri) as stream:
        yield from in_batches(_records(stream, shard, kind, reading), columns)


def peek(file: InputFile, reading: Reading, columns: Sequence[str]) -> pa.Table | None:
    """Return the `columns` of a file's first records, or None where it has none."""
    stop = 1 if format_of(file.name, file.uri, reading) == "parquet" else -1
    first = next(load(Shard(file.name, file.uri, 0, stop, 0), reading, columns), None)
    return None if first is None else first.table


def look(file: InputFile, reading: Reading) -> FileStart:
    """Return what the first 1,000 records of a file show; Parquet's footer shows all records."""
    kind = format_of(file.name, file.uri, reading)
    if kind == "parquet":
        with parquetfiles.open_parquet(file.uri) as parquet:
            return FileStart(parquet.schema_arrow, parquet.metadata.num_rows)
    names: dict[str, None] = {}
    count = 0
    problem: Bad | None = None
    with opened(file.uri) as stream:
        shard = Shard(file.name, file.uri, 0, -1, 0)
        for _, record in islice(_records(stream, shard, kind, reading), SAMPLE_RECORDS):
            count += 1
            if isinstance(record, dict):
                names.update(dict.fromkeys(record))
            else:
                problem = problem or record
    schema = pa.schema([(name, pa.string()) for name in names])
    if problem is None or names:
        return FileStart(schema, count)
    first = f"the first, at place {problem.index + 1}: {problem.error}: {problem.detail}"
    words = f"{file.name}: none of its first {count} records is readable; {first}"
    return FileStart(schema, count, words, problem.index)


def in_batches(records: Iterable[Record], columns: Sequence[str]) -> Iterator[Batch]:
    """Yield batches of records as strings, each with the unreadable records among them."""
    good: list[tuple[int, dict[str, Any]]] = []
    bad: list[Bad] = []
    size = 0
    for index, record in records:
        if isinstance(record, Bad):
            bad.append(record)
        else:
            good.append((index, record))
            size += sum(len(value) for value in record.values() if isinstance(value, str))
        # One record may be as large as `line_bytes`, so a batch is bounded in letters too.
        if len(good) + len(bad) == BATCH_ROWS or size > BATCH_BYTES:
            yield untyped_batch(good, columns, bad)
            good, bad, size = [], [], 0
    if good or bad:
        yield untyped_batch(good, columns, bad)


@contextmanager
def opened(uri: str) -> Iterator[Any]:
    """Open a file as a binary stream, unpacked when its name ends in ``.gz``.

    Raises InputError when the packing is broken or the file cannot be read.
    """
    name = without_query(uri)
    try:
        with open_input(uri) as raw:
            if not _is_gzip(uri):
                yield raw
                return
            with gzip.open(raw) as stream:
                yield stream
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        words = f"{name}: the gzip packing is broken ({error}); fetch it again"
        raise InputError(words, code="file_broken", file=name, format="gzip") from error
    except OSError as error:
        words = f"{name}: cannot be read: {error}"
        raise InputError(words, code="file_unreadable", path=name) from error


def _is_gzip(uri: str) -> bool:
    return without_query(uri).lower().endswith(".gz")


def _records(stream: Any, shard: Shard, kind: Kind, reading: Reading) -> Iterator[Record]:
    if kind in ("csv", "tsv"):
        separator = reading.separator or ("\t" if kind == "tsv" else None)
        yield from csvfiles.records(stream, shard.file, separator, reading.line_bytes)
        return
    if kind in ("object", "columns"):
        yield from enumerate(jsonshapes.columns_of(stream, kind))
        return
    if kind == "jsonl":
        texts = jsonfiles.lines(stream, shard, reading.line_bytes)
    else:
        key = reading.records if kind == "under" else None
        texts = jsonfiles.elements(stream, shard, reading.line_bytes, key)
    for index, data in texts:
        if data is None:
            detail = f"more than {reading.line_bytes:,} bytes (line_bytes)"
            yield index, Bad(index, "record_too_long", detail)
            continue
        record = read_record(index, data)
        yield index, jsonshapes.explained(record, data) if isinstance(record, Bad) else record
