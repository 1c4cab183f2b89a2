"""Map columns by SQL: a recipe's expressions, checked once and run by DuckDB on each batch."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa

from curation.sources.arrow_values import as_values, is_bytes, is_container, is_list, without_nan
from curation.sources.expressions import column_names, engine, unrepeatable
from curation.sources.files import nearest
from curation.sources.record_batches import Bad, Batch, find_column
from curation.sources.side_columns import side_columns
from curation.sql_limits import BATCH_MEMORY, too_costly, within_limits
from medsift.errors import InputError, RecipeError
from medsift.records import TAGS

CONTENT: Final = ("question", "answer", "messages", "images", "options")
TARGETS: Final = (*CONTENT, *TAGS)
PLAIN: Final = {"images", "image", "messages", "conversations", "options", "choices"}
ALIASES: Final = {"images": ("image",), "messages": ("conversations",), "options": ("choices",)}
READ_AS_TEXT: Final = ("question", "answer")
SCALARS: Final = ("boolean", "integer", "number")
MOST_QUOTED: Final = 80
"""Letters of a value that the failure of an expression quotes."""
WORDS: Final = re.compile(r"\w[\w -]*\Z")


@dataclass(frozen=True, slots=True)
class Mapped:
    """A batch after mapping: `values[target][i]` belongs to record `indexes[i]` of the file."""

    indexes: Sequence[int]
    values: Mapping[str, Sequence[Any]]
    notes: Sequence[list[str]]
    bad: Sequence[Bad]
    images: Sequence[Sequence[str]] | None = None
    members: Sequence[Sequence[str]] | None = None
    side: Mapping[str, Sequence[Any]] = field(default_factory=dict)


def automatic(
    columns: Mapping[str, str], implied: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return the recipe's `columns` and, for each target it lacks, the column of the same name.

    A conversation replaces question and answer, so a recipe that maps one of them does not get
    the other by name. Expressions that a reader implies have no such effect: their columns may be
    absent.
    """
    expressions = {**(implied or {}), **columns}
    skip = set(expressions)
    if "messages" in columns:
        skip |= {"question", "answer", "options"}
    elif "question" in columns or "answer" in columns:
        skip |= {"messages"}
    for target in TARGETS:
        if target not in skip:
            for name in (target, *ALIASES.get(target, ())):
                expressions.setdefault(name, quoted(name))
    return expressions


def has_target(target: str, columns: Mapping[str, str], names: Sequence[str]) -> bool:
    """Return whether the recipe maps `target` or the input has a column of its name."""
    return target in columns or any(
        find_column(name, names) is not None for name in (target, *ALIASES.get(target, ()))
    )


def quoted(name: str) -> str:
    """Return a column name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


class Mapper:
    """Run the expressions of one source; a row that an expression fails on fails alone."""

    def __init__(
        self, columns: Mapping[str, str], implied: Mapping[str, str] | None = None
    ) -> None:
        """Take the recipe's `columns`, and a reader's own, whose inputs may be absent."""
        self.named = dict(columns)
        self.columns = automatic(columns, implied)
        self.used = {target: _names_of(target, text) for target, text in self.columns.items()}
        spelled = [name for names in self.used.values() for name in sorted(names)]
        # DuckDB ignores case, so the recipe's first spelling is used for all.
        self.needed = sorted({name.casefold(): name for name in reversed(spelled)}.values())
        self.connection = engine().cursor()
        self.shapes: dict[pa.Schema, frozenset[str]] = {}

    def check(self, schemas: Sequence[pa.Schema]) -> None:
        """Bind every expression of the recipe to the columns of the input's files.

        Raises InputError for a column that is in none of them, RecipeError for SQL that cannot run.
        """
        present = list(dict.fromkeys(name for schema in schemas for name in schema.names))
        for target in self.named:
            for name in sorted(self.used[target]):
                if find_column(name, present) is not None:
                    continue
                if column := find_column(self.columns[target].strip(), present):
                    words = f" = {column!r} is a column's name, not SQL; write '{quoted(column)}'"
                    raise _invalid(target, words)
                words = f"columns.{target} names {name!r}, which the input does not have"
                words += f"{nearest(name, present)} (it has: {', '.join(present) or 'nothing'})"
                values = {"target": target, "column": name, "known": present}
                raise InputError(words, code="source_column_unknown", **values)
        _check_targets(self.named)
        for target, text in self.named.items():
            if (part := unrepeatable(text)) is not None:
                words = f" = {text!r} uses {part!r}, whose value would depend on more than the row"
                raise _invalid(target, f"{words}; write an expression over one row")
        for schema in schemas:
            table = self._project(schema.empty_table())
            for target, text in self.columns.items():
                self._check_binds(target, text, table)

    def map(self, batch: Batch) -> Mapped:
        """Apply the expressions to a batch of n records."""
        table = self._project(batch.table)
        good, parts, bad = self._run(table, batch.indexes)
        values = {
            name: [value for part in parts for value in as_values(part[name], name in PLAIN)]
            for name in (self.columns if parts else ())
        }
        self._restore_numbers(batch, good, values)
        side = {
            name: [column[row] for row in good]
            for name in side_columns(batch.table.column_names)
            for column in [as_values(batch.table[name], plain=True)]
        }
        images, members = (
            None if column is None else [column[row] for row in good]
            for column in (batch.images, batch.members)
        )
        indexes, notes = [batch.indexes[row] for row in good], self._notes(batch, good)
        return Mapped(indexes, values, notes, [*batch.bad, *bad], images, members, side)

    def _project(self, table: pa.Table) -> pa.Table:
        arrays = [pa.array(range(table.num_rows), pa.int64())]
        for name in self.needed:
            column = find_column(name, table.column_names)
            missing = column is None
            arrays.append(pa.nulls(table.num_rows) if missing else without_nan(table[column]))
        return pa.Table.from_arrays(arrays, names=[_ROW, *self.needed])

    def _run(
        self, table: pa.Table, indexes: Sequence[int]
    ) -> tuple[list[int], list[pa.Table], list[Bad]]:
        """Return the rows that all expressions succeed on, their values, and the failed rows."""
        import duckdb

        if not table.num_rows:
            return [], [], []
        try:
            return list(range(table.num_rows)), [self._query(table)], []
        except duckdb.Error:
            failing = self._failing(table)
        bad = []
        for row, target in sorted(failing.items()):
            inputs = {name: table[name][row].as_py() for name in sorted(self.used[target])}
            values = ", ".join(f"{name} = {_short(value)}" for name, value in inputs.items())
            words = f"columns.{target} = {self.columns[target]!r} fails on {values}"
            bad.append(Bad(indexes[row], "mapping_failed", words))
        rest = [row for row in range(table.num_rows) if row not in failing]
        left = table.take(pa.array(rest, pa.int64()))
        good, parts, more = self._halved(left, [indexes[row] for row in rest])
        return [rest[position] for position in good], parts, [*bad, *more]

    def _halved(
        self, table: pa.Table, indexes: Sequence[int]
    ) -> tuple[list[int], list[pa.Table], list[Bad]]:
        """Do the same as `_run` by halving, for rows whose failure `TRY` does not show."""
        import duckdb

        good: list[int] = []
        parts: list[pa.Table] = []
        bad: list[Bad] = []
        # The first half is done first, so that the rows keep their order.
        todo = [(0, table.num_rows)] if table.num_rows else []
        while todo:
            start, stop = todo.pop()
            try:
                parts.append(self._query(table.slice(start, stop - start)))
                good.extend(range(start, stop))
            except duckdb.Error as error:
                if stop - start == 1:
                    bad.append(Bad(indexes[start], "mapping_failed", _line(error)))
                    continue
                middle = (start + stop) // 2
                todo += [(middle, stop), (start, middle)]
        return good, parts, bad

    def _failing(self, table: pa.Table) -> dict[int, str]:
        """Return the rows that an expression fails on, each with the first such target.

        An expression that fails while it is planned finds no rows.
        """
        import duckdb

        target_of_row: dict[int, str] = {}
        with self._registered(table):
            nested = self._nested(table.schema)
            for target, text in self.columns.items():
                # One expression a query: of several DuckDB computes a shared part outside of TRY.
                expression = _cast(text, plain=target in PLAIN or target in nested)
                query = f"SELECT TRY(({expression}\n) IS NULL) IS NULL AS failed FROM batch"
                try:
                    failed = self._ask(query, f"columns.{target}")["failed"].to_pylist()
                except duckdb.Error:
                    continue
                rows = [row for row, bad in enumerate(failed) if bad]
                target_of_row = dict.fromkeys(rows, target) | target_of_row
        return target_of_row

    def _query(self, table: pa.Table) -> pa.Table:
        with self._registered(table):
            nested = self._nested(table.schema)
            texts = (
                _as_text(target, text, plain=target in PLAIN or target in nested)
                for target, text in self.columns.items()
            )
            select = ", ".join(texts) or f"{quoted(_ROW)} AS {quoted(_ROW)}"
            what = f"columns {', '.join(self.columns)}"
            values = self._ask(f"SELECT {select} FROM batch", what)
        if values.nbytes > BATCH_MEMORY:
            raise too_costly(what, f"makes {values.nbytes:,} bytes of {table.nbytes:,}")
        return values

    def _ask(self, query: str, what: str) -> pa.Table:
        """Answer a query over `batch`. Raises RecipeError where `what` takes too much."""
        work = lambda: self.connection.sql(query).to_arrow_table()  # noqa: E731
        return within_limits(work, what)

    @contextmanager
    def _registered(self, table: pa.Table) -> Iterator[None]:
        """Let DuckDB know `table` as `batch` for the block."""
        self.connection.register("batch", table)
        try:
            yield
        finally:
            self.connection.unregister("batch")

    def _restore_numbers(
        self, batch: Batch, good: Sequence[int], values: dict[str, list[Any]]
    ) -> None:
        """Restore the numbers that JSON holds in a column of pictures.

        Batches of JSON hold texts alone, and the text "5" is a path, the number 5 is not. Only a
        bare column is restored: an expression may build a path from a number.
        """
        for target in ("images", *ALIASES["images"]):
            name = next(iter(self.used.get(target, ())), None)
            if name is None or self.columns[target].strip() not in (name, quoted(name)):
                continue
            kinds = batch.kinds.get(name, {})
            for position, row in enumerate(good):
                if kinds.get(row) in SCALARS and target in values:
                    values[target][position] = json.loads(values[target][position])

    def _nested(self, schema: pa.Schema) -> frozenset[str]:
        """Return the targets whose expression yields bytes, or a container where text is wanted.

        SQL writes these its own way (``[a, b]``), which no other format does. The table `batch` of
        that schema must be registered.
        """
        if schema not in self.shapes:
            columns = ", ".join(
                _as_text(target, text, plain=True) for target, text in self.columns.items()
            )
            empty = self.connection.sql(f"SELECT {columns} FROM batch LIMIT 0").to_arrow_table()
            self.shapes[schema] = frozenset(
                field.name
                for field in empty.schema
                if is_bytes(field.type) or (field.name in READ_AS_TEXT and is_container(field.type))
            )
        return self.shapes[schema]

    def _notes(self, batch: Batch, good: Sequence[int]) -> list[list[str]]:
        notes = [list(own) for own in batch.notes or [()] * batch.table.num_rows]
        for target in READ_AS_TEXT:
            for name in sorted(self.used.get(target, ())):
                column = find_column(name, batch.table.column_names)
                for row, kind in _kinds(batch, column).items():
                    notes[row].append(f"{target}: {kind} read as text")
        return [notes[row] for row in good]

    def _check_binds(self, target: str, text: str, table: pa.Table) -> None:
        import duckdb

        with self._registered(table):
            select = _as_text(target, text, plain=target in PLAIN)
            try:
                rows = self._ask(f"SELECT {select} FROM batch", f"columns.{target}").num_rows
            except duckdb.Error as error:
                raise _invalid(target, f" = {text!r} cannot run: {_line(error)}") from error
        if rows:  # only an aggregate makes a row of none
            words = f" = {text!r} is an aggregate; write an expression over one row"
            raise _invalid(target, words)


_ROW: Final = "medsift row"
_KINDS: Final[tuple[tuple[Callable[[pa.DataType], bool], str], ...]] = (
    (pa.types.is_boolean, "boolean"),
    (pa.types.is_integer, "integer"),
    (is_list, "array"),
    (pa.types.is_struct, "object"),
    (pa.types.is_map, "object"),
    (pa.types.is_floating, "number"),
    (pa.types.is_decimal, "number"),
)


def _invalid(target: str, words: str) -> RecipeError:
    return RecipeError(f"columns.{target}{words}", code="expression_invalid", target=target)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= MOST_QUOTED else f"{text[:MOST_QUOTED]}… ({len(text)} letters)"


def _as_text(target: str, text: str, plain: bool) -> str:
    return f"{_cast(text, plain)} AS {quoted(target)}"


def _cast(text: str, plain: bool) -> str:
    # The line end closes a comment that the expression may end with.
    return f"({text}\n)" if plain else f"CAST(({text}\n) AS VARCHAR)"


def _names_of(target: str, text: str) -> frozenset[str]:
    """Return the columns that an expression reads. Raises RecipeError that names the target."""
    try:
        return column_names(text)
    except RecipeError as error:
        plain = text.strip()
        hint = f"; for a column of that name write '{quoted(plain)}'" if WORDS.match(plain) else ""
        raise _invalid(target, f": {error}{hint}") from error


def _check_targets(columns: Mapping[str, str]) -> None:
    """Raise RecipeError for a known target that is not in lower case."""
    names = (*TARGETS, *(alias for aliases in ALIASES.values() for alias in aliases))
    for target in columns:
        meant = target.strip().casefold()
        if meant in names and target not in names:
            words = f"columns.{target}: targets are in lower case; write {meant}"
            raise RecipeError(words, code="target_misspelled", target=target, meant=meant)


def _kinds(batch: Batch, column: str | None) -> Mapping[int, str]:
    """Return the type of each value of a column that is not text."""
    if column is None or column in batch.kinds:
        return batch.kinds.get(column or "", {})
    arrow_type = batch.table.schema.field(column).type
    kind = next((name for test, name in _KINDS if test(arrow_type)), None)
    if kind is None:
        return {}
    valid = batch.table[column].is_valid().to_pylist()
    return {row: kind for row, is_valid in enumerate(valid) if is_valid}


def _line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]
