"""Take rows of any table that users hold: Arrow, pandas, `datasets`, or a list of mappings."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from medsift.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa


class TableRows:
    """A user's table: named columns as Python values, and subsets of the kind that was given."""

    def __init__(self, table: Any) -> None:
        self.table = table
        self.kind = _kind(table)
        names = _names(table, self.kind)
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
        if name not in self.names:
            raise UsageError(
                f"the table has no column {name!r}; it has {', '.join(self.names) or 'none'}",
                code="column_unknown",
                column=name,
            )
        match self.kind:
            case "arrow":
                values = self.table[name].to_pylist()
            case "pandas":
                values = [_plain(value) for value in self.table[name].tolist()]
            case "datasets":
                values = self.table.with_format(None)[name][:]
            case _:
                values = [row.get(name) for row in self.table]
        return [_picture_bytes(value) for value in values]

    def take(self, places: Sequence[int], more: Mapping[str, Sequence[Any]] | None = None) -> Any:
        """Return rows by place, as the kind of table that was given, with further columns.

        A further column that the table has already takes its place.
        """
        more = more or {}
        match self.kind:
            case "arrow":
                import pyarrow as pa

                rows = self.table.take(pa.array(places, pa.int64()))
                for name, values in more.items():
                    rows = rows.drop_columns([name]) if name in rows.column_names else rows
                    rows = rows.append_column(name, pa.array(values, _arrow_type(name)))
                return rows
            case "pandas":
                return self.table.iloc[list(places)].assign(
                    **{name: list(values) for name, values in more.items()}
                )
            case "datasets":
                rows = self.table.select(list(places))
                for name, values in more.items():
                    rows = rows.remove_columns(name) if name in rows.column_names else rows
                    rows = rows.add_column(name, list(values))
                return rows
            case _:
                return [
                    {**self.table[place], **{name: more[name][at] for name in more}}
                    for at, place in enumerate(places)
                ]


def _arrow_type(name: str) -> pa.DataType:
    import pyarrow as pa

    numbers = {"witness": pa.int64(), "value": pa.float64(), "threshold": pa.float64()}
    return {**numbers, "weight": pa.float64(), "gain": pa.float64()}.get(name, pa.string())


def _kind(table: Any) -> str:
    home = type(table).__module__.partition(".")[0]
    kinds = {"pyarrow": "arrow", "pandas": "pandas", "datasets": "datasets"}
    wanted = {"pyarrow": "Table", "pandas": "DataFrame", "datasets": "Dataset"}
    if home in kinds and type(table).__name__ == wanted[home]:
        return kinds[home]
    if isinstance(table, (list, tuple)) and all(isinstance(row, Mapping) for row in table):
        return "list"
    raise UsageError(
        f"a {type(table).__module__}.{type(table).__name__} is no table; give a pyarrow.Table, a "
        "pandas.DataFrame, a datasets.Dataset or a list of mappings",
        code="table_invalid",
    )


def _names(table: Any, kind: str) -> list[str]:
    if kind == "list":
        return list(dict.fromkeys(name for row in table for name in row))
    columns = table.columns if kind == "pandas" else table.column_names
    return [str(name) for name in columns]


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
