"""What a table of the manifest is: its columns with type and meaning."""

from __future__ import annotations

from dataclasses import dataclass


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

    `order` is how rows lie on disk, so that look-ups skip blocks. `replaced_by` marks a table
    that later steps add to: new lines replace the run's lines with equal values there.
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


def columns(*lines: str) -> tuple[Column, ...]:
    """Columns from lines ``name type | meaning``; a star after the name marks required ones."""
    made = []
    for line in lines:
        head, meaning = line.split(" | ", 1)
        name, kind = head.split(" ", 1)
        made.append(Column(name.rstrip("*"), kind, meaning, name.endswith("*")))
    return tuple(made)
