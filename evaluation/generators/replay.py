"""Replies that were given elsewhere, read from a file: JSON Lines or Parquet."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from evaluation.generators.generator import Generator, GeneratorConfig, Reply, Request
from evaluation.perturb.apply import find_variant
from evaluation.records import ORIGINAL
from evaluation.scoring.coverage import check_coverage, check_once
from medsift.errors import InputError, UsageError
from medsift.storage.local_paths import LocalPath

KEYS: Final = ("benchmark", "item_id")
NEEDED: Final = (*KEYS, "reply")
ALLOWED: Final = (*KEYS, "variant", "reply")
LINES: Final = (".jsonl", ".ndjson", ".json")
COLUMNS: Final = pa.schema(
    [(name, pa.large_string() if name == "reply" else pa.string()) for name in ALLOWED]
)
TEXTS: Final = (pa.string(), pa.large_string(), pa.string_view(), pa.null())


class RecordedGenerator(GeneratorConfig):
    """Replies recorded in a file: one an item and variant, none to items that are not asked.

    `path` ends in .jsonl or .parquet; its columns are benchmark, item_id, reply and perhaps
    variant (null is the original).
    """

    kind: Literal["recorded"] = "recorded"
    path: LocalPath

    # A line answers one variant of one item, whatever pictures that shows.
    looks: ClassVar[bool] = False
    lasting: ClassVar[bool] = False

    def own_name(self) -> str:
        """The file's name without its ending."""
        return re.sub(r"[^\w.-]+", "-", self.path.stem) or self.kind

    def fingerprint(self) -> str:
        """Digest of the file's bytes. Raises InputError when it cannot be read."""
        try:
            with self.path.open("rb") as stream:
                return hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError as error:
            raise InputError(
                f"cannot read {self.path}: {error.strerror}; name a file", code="replies_unreadable"
            ) from error

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
            raise UsageError(f"{self.path}: {error}", code="replies_unreadable") from error
        return Recorded(table)


class Recorded:
    """Looks replies up."""

    def __init__(self, table: pa.Table) -> None:
        columns = [table[name].to_pylist() for name in (*KEYS, "variant")]
        self._replies = dict(
            zip(zip(*columns, strict=True), table["reply"].to_pylist(), strict=True)
        )

    def generate(self, requests: Sequence[Request]) -> list[Reply]:
        """One reply a request, in order."""
        return [self._reply(one) for one in requests]

    def _reply(self, request: Request) -> Reply:
        key = (request.benchmark, request.item_id, request.variant)
        if key not in self._replies:
            return Reply(None, error=f"no reply to {request.variant} is recorded")
        text = self._replies[key]
        return Reply(text, error="recorded without a reply" if text is None else None)


def read_replies(path: Path) -> pa.Table:
    """The file's records (`COLUMNS`), the original named. Raises InputError."""
    if path.suffix == ".parquet":
        table = _columns_checked(path, _read_parquet(path))
    elif path.suffix in LINES:
        table = _read_lines(path)
    else:
        raise InputError(
            f"{path} is no file of replies; its name must end in .jsonl or .parquet",
            code="replies_unreadable",
        )
    for name in KEYS:
        if nulls := table[name].null_count:
            first = pc.index(pc.is_null(table[name]), True).as_py() + 1
            raise InputError(
                f"{path}: {nulls:,} records have no {name}, first record {first}",
                code="replies_unreadable",
            )
    if not table.num_rows:
        raise InputError(
            f"{path} holds no reply; record one for each item", code="replies_unreadable"
        )
    named = pc.fill_null(table["variant"], ORIGINAL)
    return table.set_column(table.column_names.index("variant"), "variant", named)


def _read_parquet(path: Path) -> pa.Table:
    try:
        return pq.read_table(path, partitioning=None)
    except (OSError, pa.ArrowException) as error:
        words = " ".join(str(error).split())
        raise InputError(
            f"cannot read {path} as Parquet: {words}", code="replies_unreadable"
        ) from error


def _columns_checked(path: Path, table: pa.Table) -> pa.Table:
    """The columns as text. Raises InputError for missing or further ones, and other types."""
    known = table.column_names
    if (
        len(set(known)) < len(known)
        or not set(NEEDED) <= set(known)
        or not set(known) <= set(ALLOWED)
    ):
        raise InputError(
            f"{path} has columns {', '.join(known)}; {_wanted()}", code="replies_unreadable"
        )
    columns = []
    for name in ALLOWED:
        column = table[name] if name in known else pa.nulls(table.num_rows)
        kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
        if kind not in TEXTS:
            raise InputError(
                f"{path}: column {name} holds {kind}; it must hold text", code="replies_unreadable"
            )
        columns.append(column.cast(COLUMNS.field(name).type))
    return pa.table(columns, schema=COLUMNS)


def _read_lines(path: Path) -> pa.Table:
    found: list[dict[str, Any]] = []
    faults: list[tuple[int, str]] = []
    for number, line in _lines(path):
        record = _record(line)
        if isinstance(record, str):
            faults.append((number, record))
        else:
            found.append(record)
    if faults:
        number, words = faults[0]
        raise InputError(
            f"{path}: {len(faults):,} lines are no replies, first line {number}: {words}; "
            f"{_wanted()}",
            code="replies_unreadable",
        )
    return pa.Table.from_pylist(found, schema=COLUMNS)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """(number from 1, text) of the lines that are not blank. Raises InputError."""
    try:
        with path.open(encoding="utf-8-sig", newline="\n") as stream:
            yield from ((number, line) for number, line in enumerate(stream, 1) if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"cannot read {path} as UTF-8 text: {error}", code="replies_unreadable"
        ) from error


def _record(line: str) -> dict[str, Any] | str:
    """A line's record, or what is wrong with it."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return "malformed JSON"
    if not isinstance(record, dict):
        return "not a JSON object"
    if missing := [name for name in NEEDED if name not in record]:
        return f"without {', '.join(missing)}"
    if other := sorted(set(record) - set(ALLOWED)):
        return f"with another field, {other[0]!r}"
    return next((words for name in ALLOWED if (words := _untexted(name, record.get(name)))), record)


def _untexted(name: str, value: Any) -> str | None:
    """Why a value cannot stand in a column of text; None where it can."""
    if value is None:
        return None
    if not isinstance(value, str):
        return f"{name} is {type(value).__name__} and not text"
    try:
        value.encode()
    except UnicodeEncodeError:
        return f"{name} holds half a character"
    return None


def _wanted() -> str:
    return f"a record has {', '.join(NEEDED)} and perhaps variant, all text, and nothing else"
