"""Declare a table of the manifest: its columns with type and meaning, in SQL and in Arrow."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

_PLAIN: Final = {
    "VARCHAR": pa.string(),
    "BIGINT": pa.int64(),
    "INTEGER": pa.int32(),
    "DOUBLE": pa.float64(),
    "FLOAT": pa.float32(),
    "BOOLEAN": pa.bool_(),
    "TIMESTAMP": pa.timestamp("us"),
    "BLOB": pa.binary(),
}
_STRUCT: Final = re.compile(r"STRUCT\((.*)\)")


@dataclass(frozen=True, slots=True)
class Column:
    """One column: name, DuckDB type, meaning; `required` when input without it is refused."""

    name: str
    type: str
    meaning: str
    required: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """One table. `run_id` leads every table and is filled in by the writer.

    `order` is the order of rows on disk, which lets look-ups skip blocks. `replaced_by` marks a
    table that later commands add to: new lines replace the run's lines of equal values there.
    """

    name: str
    meaning: str
    columns: tuple[Column, ...]
    order: tuple[str, ...] = ()
    replaced_by: tuple[str, ...] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Column names in order, `run_id` first."""
        return ("run_id", *(column.name for column in self.columns))

    def arrow_schema(self, without: Collection[str] = ()) -> pa.Schema:
        """Return the Arrow schema of what fills the table: all columns but `run_id` and `without`.

        A required column is never null.
        """
        return pa.schema(
            pa.field(column.name, arrow_type(column.type), nullable=not column.required)
            for column in self.columns
            if column.name not in without
        )


def arrow_type(duckdb_type: str) -> pa.DataType:
    """Return the Arrow type of a DuckDB type, for example ``STRUCT(role VARCHAR)[]``."""
    if duckdb_type.endswith("[]"):
        return pa.list_(arrow_type(duckdb_type.removesuffix("[]")))
    struct = _STRUCT.fullmatch(duckdb_type)
    if struct is not None:
        fields = (field.strip().split(" ", 1) for field in struct[1].split(","))
        return pa.struct([(name, arrow_type(kind)) for name, kind in fields])
    return _PLAIN[duckdb_type]


def tables(text: str) -> tuple[Table, ...]:
    """Return the tables that a text declares, with a blank line between them.

    A table is ``TABLE name ORDER BY columns REPLACED BY columns | meaning``, where both lists may
    be absent, and a line ``name type | meaning`` for each column, where a star marks a required
    one. An indented line continues the line above it.
    """
    declared = []
    for block in re.sub(r"\n +", " ", text).strip().split("\n\n"):
        (head, meaning), *lines = [line.split(" | ", 1) for line in block.splitlines()]
        head, _, replaced_by = head.removeprefix("TABLE ").partition(" REPLACED BY ")
        name, _, order = head.partition(" ORDER BY ")
        fields = [(*field.split(" ", 1), words) for field, words in lines]
        columns = [
            Column(field.rstrip("*"), kind, words, field.endswith("*"))
            for field, kind, words in fields
        ]
        keys = tuple(replaced_by.split(", ")) if replaced_by else None
        ordered = tuple(order.split(", ")) if order else ()
        declared.append(Table(name, meaning, tuple(columns), ordered, keys))
    return tuple(declared)
