"""File formats behind two calls: cut a file into shards, read a shard in batches."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, Final, Literal

import pyarrow as pa

from curation.errors import InputError
from curation.sources import csvfiles, jsonfiles, parquetfiles
from curation.sources.base import Shard
from curation.sources.batches import BATCH_ROWS, Bad, Batch, read_record, untyped_batch
from curation.sources.files import InputFile
from curation.sources.storage import open_input, without_query

Format = Literal["auto", "json", "jsonl", "csv", "tsv", "parquet"]
SUFFIXES: Final[dict[str, Format]] = {
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".pq": "parquet",
}
SAMPLE_RECORDS: Final = 1_000
Record = tuple[int, dict[str, Any] | Bad]


def suffix_format(name: str) -> Format | None:
    """The format that a file name ends in (``.gz`` aside), or None."""
    plain = name.lower().removesuffix(".gz")
    return SUFFIXES.get("." + plain.rpartition(".")[2])


def format_of(name: str, uri: str, declared: Format) -> Format:
    """The format of a file: as declared, else by its suffix; a ``.json`` file may hold lines.

    Raises InputError for a suffix that says nothing.
    """
    found = suffix_format(name) if declared == "auto" else declared
    if found is None:
        raise InputError(
            f"{name}: no format known for this suffix; set format to one of {sorted(set(SUFFIXES))}"
        )
    if declared == "auto" and found == "json":
        with opened(uri) as stream:
            return "json" if jsonfiles.starts_array(stream) else "jsonl"
    return found


def cut(file: InputFile, declared: Format, shard_bytes: int) -> list[Shard]:
    """Cut a file into shards; a format that cannot be entered midway is one shard."""
    kind = format_of(file.name, file.uri, declared)
    if kind == "parquet":
        return parquetfiles.group_shards(file, shard_bytes)
    if kind == "jsonl" and not _is_gzip(file.uri):
        return jsonfiles.line_shards(file, shard_bytes)
    return [Shard(file.name, file.uri, 0, -1, 0)] if file.size else []


def load(shard: Shard, declared: Format, columns: Sequence[str]) -> Iterator[Batch]:
    """The `columns` of a shard's records in batches of at most 5,000."""
    kind = format_of(shard.file, shard.uri, declared)
    if kind == "parquet":
        yield from parquetfiles.batches(shard, columns)
        return
    with opened(shard.uri) as stream:
        yield from in_batches(_records(stream, shard, kind), columns)


def schemas(file: InputFile, declared: Format) -> tuple[pa.Schema, int]:
    """The columns of a file and how many of its records were looked at (all, for Parquet)."""
    kind = format_of(file.name, file.uri, declared)
    if kind == "parquet":
        with parquetfiles.open_parquet(file.uri) as parquet:
            return parquet.schema_arrow, parquet.metadata.num_rows
    names: dict[str, None] = {}
    count = 0
    with opened(file.uri) as stream:
        whole = Shard(file.name, file.uri, 0, -1, 0)
        for _, record in islice(_records(stream, whole, kind), SAMPLE_RECORDS):
            count += 1
            if isinstance(record, dict):
                names.update(dict.fromkeys(record))
    return pa.schema([(name, pa.string()) for name in names]), count


def in_batches(records: Iterable[Record], columns: Sequence[str]) -> Iterator[Batch]:
    """Gather records into batches of strings, the unreadable ones beside the others."""
    stream = iter(records)
    while part := list(islice(stream, BATCH_ROWS)):
        good = [(index, value) for index, value in part if not isinstance(value, Bad)]
        bad = [value for _, value in part if isinstance(value, Bad)]
        yield untyped_batch(good, columns, bad)


@contextmanager
def opened(uri: str) -> Iterator[Any]:
    """A binary stream of a file, unpacked when its name ends in ``.gz``.

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
        raise InputError(f"{name}: the gzip packing is broken ({error}); fetch it again") from error
    except OSError as error:
        raise InputError(f"{name}: cannot be read: {error}") from error


def _is_gzip(uri: str) -> bool:
    return without_query(uri).lower().endswith(".gz")


def _records(stream: Any, shard: Shard, kind: Format) -> Iterator[Record]:
    if kind in ("csv", "tsv"):
        yield from csvfiles.records(stream, shard.file, "\t" if kind == "tsv" else ",")
        return
    split = jsonfiles.elements if kind == "json" else jsonfiles.lines
    for index, data in split(stream, shard):
        yield index, read_record(index, data)
