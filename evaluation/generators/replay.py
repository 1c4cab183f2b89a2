"""Read replies that were given elsewhere from a file: JSON Lines or Parquet."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from evaluation.generators.generator import Generator, GeneratorConfig
from evaluation.perturb.apply import find_variant
from evaluation.scoring.coverage import check_coverage, check_once, with_variant
from medsift.errors import InputError, UsageError
from medsift.models.generation.request import Reply, Request
from medsift.storage.local_paths import LocalPath
from medsift.text import SURROGATE

KEYS: Final = ("benchmark", "item_id")
NEEDED: Final = (*KEYS, "reply")
ALLOWED: Final = (*KEYS, "variant", "reply")
LINES: Final = (".jsonl", ".ndjson", ".json")
COLUMNS: Final = pa.schema(
    [(name, pa.large_string() if name == "reply" else pa.string()) for name in ALLOWED]
)
RECORD: Final = f"a record has {', '.join(NEEDED)} and perhaps variant, all text, and nothing else"
TEXTS: Final = (pa.string(), pa.large_string(), pa.string_view(), pa.null())


class RecordedGenerator(GeneratorConfig):
    """Settings of replies recorded in a file: one an item and variant, none to other items."""

    kind: Literal["recorded"] = "recorded"
    """Replies that were recorded in a file."""
    path: LocalPath
    """File that ends in .jsonl or .parquet, with columns benchmark, item_id and reply.

    A column variant is optional; null in it is the original.
    """

    # A record answers one variant of one item, whatever pictures that shows.
    looks: ClassVar[bool] = False
    lasting: ClassVar[bool] = False

    def own_name(self) -> str:
        """Return the file's name without its ending."""
        return re.sub(r"[^\w.-]+", "-", self.path.stem) or self.kind

    def fingerprint(self) -> str:
        """Return the digest of the file's bytes. Raises InputError when it cannot be read."""
        try:
            with self.path.open("rb") as stream:
                return hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError as error:
            words = f"cannot be read: {error.strerror}; name a file"
            raise _unreadable(self.path, words) from error

    def build(self, items: pa.Table) -> Generator:
        """Read the file.

        Raises:
            InputError: it cannot be read, has other columns, or lines that are no records.
            UsageError: unknown items or variants, one replied to twice, originals without a reply.
        """
        table = read_replies(self.path)
        keys = table.select([*KEYS, "variant"])
        try:
            check_once(keys)
            check_coverage(keys, items)
            for variant in pc.unique(keys["variant"]).to_pylist():
                find_variant(variant)
        except UsageError as error:
            raise UsageError(
                f"{self.path}: {error}",
                code="replies_unreadable",
                **error.values | {"path": str(self.path)},
            ) from error
        return Recorded(table)


class Recorded:
    """Look replies up."""

    def __init__(self, table: pa.Table) -> None:
        columns = [table[name].to_pylist() for name in (*KEYS, "variant")]
        self._replies = dict(
            zip(zip(*columns, strict=True), table["reply"].to_pylist(), strict=True)
        )

    def generate(self, requests: Sequence[Request]) -> list[Reply]:
        """Return one reply a request, in order."""
        replies = []
        for request in requests:
            key = (request.benchmark, request.item_id, request.variant)
            text = self._replies.get(key)
            missing = f"no reply to {request.variant} is recorded"
            if key in self._replies:
                missing = "recorded without a reply"
            replies.append(Reply(text, error=missing if text is None else None))
        return replies


def read_replies(path: Path) -> pa.Table:
    """Read the file's records (`COLUMNS`), the original named. Raises InputError."""
    if path.suffix == ".parquet":
        table = _read_parquet(path)
    elif path.suffix in LINES:
        table = _read_lines(path)
    else:
        raise _unreadable(path, "is no file of replies; its name must end in .jsonl or .parquet")
    for name in KEYS:
        if nulls := table[name].null_count:
            first = pc.index(pc.is_null(table[name]), True).as_py() + 1
            raise _unreadable(
                path,
                f"has {nulls:,} records without {name}, first record {first}; name it in each",
                column=name,
                records=nulls,
                first=first,
            )
    if not table.num_rows:
        raise _unreadable(path, "has no reply; record one for each item", records=0)
    return with_variant(table)


def _read_parquet(path: Path) -> pa.Table:
    """Read the columns as text. Raises InputError for missing or further ones, or other types."""
    try:
        table = pq.read_table(path, partitioning=None)
    except (OSError, pa.ArrowException) as error:
        words = " ".join(str(error).split())
        raise _unreadable(path, f"cannot be read as Parquet: {words}") from error
    known = table.column_names
    twice = len(set(known)) < len(known)
    if twice or not set(NEEDED) <= set(known) or not set(known) <= set(ALLOWED):
        raise _unreadable(path, f"has columns {', '.join(known)}; {RECORD}", columns=known)
    columns = []
    for name in ALLOWED:
        column = table[name] if name in known else pa.nulls(table.num_rows)
        kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
        if kind not in TEXTS:
            words = f"has {kind} in column {name}; it must have text"
            raise _unreadable(path, words, column=name, type=str(kind))
        columns.append(column.cast(COLUMNS.field(name).type))
    return pa.table(columns, schema=COLUMNS)


def _read_lines(path: Path) -> pa.Table:
    records: list[dict[str, Any]] = []
    faults: list[tuple[int, str, str]] = []
    try:
        with path.open(encoding="utf-8-sig", newline="\n") as stream:
            for number, text in enumerate(stream, 1):
                if text.strip():
                    record, fault, words = _read_record(text)
                    records.append(record)
                    faults += [(number, fault, words)] if fault else []
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, f"cannot be read as UTF-8 text: {error}") from error
    if faults:
        number, fault, words = faults[0]
        raise _unreadable(
            path,
            f"has {len(faults):,} lines that are no replies, first line {number}: {words}; "
            f"{RECORD}",
            faults=len(faults),
            line=number,
            fault=fault,
        )
    return pa.Table.from_pylist(records, schema=COLUMNS)


def _read_record(text: str) -> tuple[dict[str, Any], str, str]:
    """Return a line's record, and the kind of fault and words for it; empty where it is sound."""
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        return {}, "malformed", "malformed JSON"
    if not isinstance(record, dict):
        return {}, "no_object", "not a JSON object"
    if missing := [name for name in NEEDED if name not in record]:
        return {}, "missing", f"without {', '.join(missing)}"
    if other := sorted(set(record) - set(ALLOWED)):
        return {}, "unknown", f"with another field, {other[0]!r}"
    for name, value in record.items():
        if not isinstance(value, str | None):
            return {}, "no_text", f"{name} is {type(value).__name__} and not text"
        # JSON may escape half of a character, which no file of text can store.
        if value and SURROGATE.search(value):
            return {}, "half_character", f"{name} has half a character"
    return record, "", ""


def _unreadable(path: Path, words: str, **values: Any) -> InputError:
    return InputError(f"{path} {words}", code="replies_unreadable", path=str(path), **values)
