"""Read columns and take rows of a table: Arrow, pandas, `datasets`, or a list of mappings."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

from medsift.errors import UsageError


class TableRows:
    """A user's table: named columns as Python values, and subsets of the kind that was given.

    Raises:
        UsageError: it is no table, or two columns have the same name.
    """

    def __init__(self, table: Any) -> None:
        self.table, self.kind = table, _kind(table)
        if self.kind == "list":
            names = list(dict.fromkeys(name for row in table for name in row))
        else:
            columns = table.columns if self.kind == "pandas" else table.column_names
            names = [str(name) for name in columns]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise UsageError(
                f"the table has several columns named {', '.join(twice)}; rename all but one",
                code="column_repeated",
                columns=twice,
            )
        self.names = names

    def __len__(self) -> int:
        return int(self.table.num_rows) if self.kind == "arrow" else len(self.table)

    def column(self, name: str) -> list[Any]:
        """Return the values of a column. Raises UsageError when there is none of that name."""
        # A list of no rows has no columns either.
        if name not in self.names and not (self.kind == "list" and not self.table):
            raise UsageError(
                f"the table has no column {name!r}; it has {', '.join(self.names) or 'none'}",
                code="column_unknown",
                column=name,
            )
        match self.kind:
            case "arrow":
                values = self.table[name].to_pylist()
            case "pandas":
                # By position, as the name of a column need not be text.
                column = self.table.iloc[:, self.names.index(name)]
                values = [_plain(value) for value in column.tolist()]
            case "datasets":
                from datasets import Image

                rows = self.table.with_format(None)
                # The bytes or paths of pictures, not decoded ones.
                if isinstance(rows.features[name], Image):
                    rows = rows.cast_column(name, Image(decode=False))
                values = rows[name][:]
            case _:
                values = [row.get(name) for row in self.table]
        return [_picture_bytes(value) for value in values]

    def take(self, numbers: Sequence[int], more: Mapping[str, Sequence[Any]] | None = None) -> Any:
        """Return rows by number, as the kind of table that was given, with further columns.

        A further column never replaces one of the user's: where the table has the name already,
        it is called `medsift_` and that name.

        Args:
            numbers: Numbers of the rows, counted from 0.
            more: Name → values of the further columns, one for each number.
        """
        import pyarrow as pa

        # Named types, because a column of nulls only would have none.
        types = dict.fromkeys(("value", "threshold", "weight"), pa.float64())
        types["witness"] = pa.int64()
        arrays = {
            f"medsift_{name}" if name in self.names else name: pa.array(
                values, types.get(name, pa.string())
            )
            for name, values in (more or {}).items()
        }
        more = {name: array.to_pylist() for name, array in arrays.items()}
        match self.kind:
            case "arrow":
                rows = self.table.take(pa.array(numbers, pa.int64()))
                for name, array in arrays.items():
                    rows = rows.append_column(name, array)
                return rows
            case "pandas":
                return self.table.iloc[list(numbers)].assign(**more)
            case "datasets":
                from datasets import Value

                rows = self.table.select(list(numbers))
                for name, array in arrays.items():
                    rows = rows.add_column(name, more[name], feature=Value(str(array.type)))
                return rows
            case _:
                return [
                    {**self.table[number], **{name: more[name][position] for name in more}}
                    for position, number in enumerate(numbers)
                ]


def _kind(table: Any) -> str:
    home = type(table).__module__.partition(".")[0]
    known = {"pyarrow.Table": "arrow", "pandas.DataFrame": "pandas", "datasets.Dataset": "datasets"}
    if kind := known.get(f"{home}.{type(table).__name__}"):
        return kind
    if isinstance(table, (list, tuple)) and all(isinstance(row, Mapping) for row in table):
        return "list"
    raise UsageError(
        f"a {type(table).__module__}.{type(table).__name__} is no table; give a pyarrow.Table, a "
        "pandas.DataFrame, a datasets.Dataset or a list of mappings",
        code="table_invalid",
    )


def _plain(value: Any) -> Any:
    """Return null for what pandas uses as a missing value."""
    missing = value is None or type(value).__name__ in ("NAType", "NaTType")
    return None if missing or (isinstance(value, float) and value != value) else value


def _picture_bytes(value: Any) -> Any:
    """Return a picture in memory as PNG bytes, in lists too; other values as they are."""
    if isinstance(value, (list, tuple)):
        return [_picture_bytes(item) for item in value]
    if not (hasattr(value, "save") and hasattr(value, "convert")):
        return value
    buffer = io.BytesIO()
    value.save(buffer, "PNG")
    return {"bytes": buffer.getvalue(), "path": None}
