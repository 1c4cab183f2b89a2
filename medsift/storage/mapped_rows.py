"""Keep rows with texts of any size in files that are mapped into memory, and take any of them.

Arrow's usual text columns count bytes in 32 bits, so that one array has at most 2 GiB, and DuckDB
sorts and groups some 2,048 rows at a time with all their texts in memory. So texts lie here, with
offsets of 64 bits; engines sort the numbers of rows, and the texts of a piece of those are read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from medsift.arrays import Flags, Indices

PIECE_BYTES: Final = 64 << 20
"""About the bytes of a piece of rows in memory; a row that is larger is a piece of its own."""
PIECE_ROWS: Final = 1 << 16
Numbers = NDArray[Any]


@dataclass(frozen=True, slots=True)
class MappedRows:
    """Rows of a table, mapped from files: `wide` has offsets of 64 bits, `schema` the usual."""

    wide: pa.Table
    schema: pa.Schema

    def __len__(self) -> int:
        """Count the rows."""
        return int(self.wide.num_rows)

    @property
    def nbytes(self) -> int:
        """The bytes of all rows."""
        return int(self.wide.nbytes)

    def take(self, places: Indices, names: Sequence[str] | None = None) -> pa.Table:
        """Return the rows at `places`, in that order, in chunks of about `PIECE_BYTES`."""
        wanted = self.schema.names if names is None else list(names)
        schema, wide = pa.schema([self.schema.field(name) for name in wanted]), self.wide
        taken = [
            wide.select(wanted).take(pa.array(places[piece], pa.int64())).cast(schema)
            for piece in self.pieces(places, wanted)
        ]
        return pa.concat_tables(taken) if taken else schema.empty_table()

    def pieces(
        self,
        places: Indices,
        names: Sequence[str] | None = None,
        piece_bytes: int | None = None,
    ) -> Iterator[slice]:
        """Yield slices of `places`, each of rows of at most `piece_bytes` together, or one row.

        `piece_bytes` is `PIECE_BYTES` when None.
        """
        most = PIECE_BYTES if piece_bytes is None else piece_bytes
        for start in range(0, len(places), PIECE_ROWS):
            ends = np.cumsum(self.row_bytes(places[start : start + PIECE_ROWS], names))
            first = 0
            while first < len(ends):
                before = int(ends[first - 1]) if first else 0
                fits = int(np.searchsorted(ends, before + most, side="right"))
                stop = max(fits, first + 1)
                yield slice(start + first, start + stop)
                first = stop

    def row_bytes(self, places: Indices, names: Sequence[str] | None = None) -> Indices:
        """Return the bytes (k,) that the columns `names`, or all, have at `places`."""
        total = np.zeros(len(places), np.int64)
        for name in self.schema.names if names is None else names:
            total += _bytes_between(self.wide[name].chunk(0), places, places + 1)
        return total


def write_rows(tables: Iterable[pa.Table], schema: pa.Schema, folder: Path) -> None:
    """Write tables, one after the other, to files of a folder that exists, for `open_rows`.

    Columns are texts, bytes, numbers, and lists and structs of those. Raises OSError.
    """
    with ExitStack() as files:
        columns = [
            _ColumnFiles(field.type, folder, f"{number}", files)
            for number, field in enumerate(schema)
        ]
        for table in tables:
            # Batch by batch: a chunk is never copied, however large the table is.
            for batch in table.cast(schema).to_batches():
                for column, values in zip(columns, batch.columns, strict=True):
                    column.add(values)


def open_rows(folder: Path, schema: pa.Schema) -> MappedRows:
    """Map the rows that `write_rows` wrote; the files may be removed while they are mapped."""
    columns = [_open(field.type, folder, f"{number}") for number, field in enumerate(schema)]
    return MappedRows(pa.Table.from_arrays(columns, names=schema.names), schema)


def scratch_rows(tables: Iterable[pa.Table], schema: pa.Schema, folder: Path) -> MappedRows:
    """Keep tables in files without a name in `folder`: they are gone when nobody maps them.

    Raises OSError when the disk refuses.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder, prefix="rows-") as name:
        write_rows(tables, schema, Path(name))
        return open_rows(Path(name), schema)


class _ColumnFiles:
    """The files of a column: whether each value is valid, and offsets, bytes or numbers."""

    def __init__(self, kind: pa.DataType, folder: Path, name: str, files: ExitStack) -> None:
        def new(part: str) -> BinaryIO:
            return files.enter_context((folder / f"{name}.{part}").open("wb"))

        self.kind, self.valid, self.end = kind, new("valid"), 0
        self.children = [
            _ColumnFiles(child, folder, f"{name}.{number}", files)
            for number, child in enumerate(_children(kind))
        ]
        self.offsets = new("offsets") if _has_offsets(kind) else None
        self.values = None if self.children else new("values")
        if self.offsets is not None:
            self.offsets.write(np.zeros(1, np.int64).tobytes())

    def add(self, array: pa.Array) -> None:
        """Append values."""
        self.valid.write(_valid(array).tobytes())
        if pa.types.is_struct(self.kind):
            for child, values in zip(self.children, array.flatten(), strict=True):
                child.add(values)
        elif pa.types.is_list(self.kind):
            self._add_offsets(pc.list_value_length(array))
            self.children[0].add(array.flatten())
        elif self.offsets is not None:
            self._add_offsets(pc.binary_length(array))
            full = array.fill_null(b"" if pa.types.is_binary(self.kind) else "")
            ends = np.frombuffer(full.buffers()[1], np.int32, len(full) + 1, 4 * full.offset)
            if ends[-1] > ends[0]:
                self._write(memoryview(full.buffers()[2])[int(ends[0]) : int(ends[-1])])
        else:
            self._write(array.fill_null(0).to_numpy(zero_copy_only=False).tobytes())

    def _add_offsets(self, lengths: pa.Array) -> None:
        assert self.offsets is not None
        ends = self.end + np.cumsum(pc.fill_null(lengths, 0).to_numpy(), dtype=np.int64)
        self.offsets.write(ends.tobytes())
        self.end = int(ends[-1]) if len(ends) else self.end

    def _write(self, data: bytes | memoryview) -> None:
        assert self.values is not None
        self.values.write(data)


def _children(kind: pa.DataType) -> list[pa.DataType]:
    if pa.types.is_list(kind):
        return [kind.value_type]
    return [field.type for field in kind] if pa.types.is_struct(kind) else []


def _has_offsets(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_string(kind) or pa.types.is_binary(kind))


def _valid(array: pa.Array) -> Flags:
    return np.asarray(array.is_valid().to_numpy(zero_copy_only=False), bool)


def _open(kind: pa.DataType, folder: Path, name: str) -> pa.Array:
    """Return a column of the wide table, over mapped files."""
    valid = np.fromfile(folder / f"{name}.valid", bool)
    bits = None if valid.all() else pa.py_buffer(np.packbits(valid, bitorder="little"))
    children = [
        _open(child, folder, f"{name}.{number}") for number, child in enumerate(_children(kind))
    ]
    buffers = [bits]
    if _has_offsets(kind):
        buffers.append(_mapped(folder / f"{name}.offsets"))
    if not children:
        buffers.append(_mapped(folder / f"{name}.values"))
    if pa.types.is_list(kind):
        wide = pa.large_list(children[0].type)
    elif pa.types.is_struct(kind):
        wide = pa.struct([field.with_type(c.type) for field, c in zip(kind, children, strict=True)])
    elif _has_offsets(kind):
        wide = pa.large_string() if pa.types.is_string(kind) else pa.large_binary()
    else:
        wide = kind
    return pa.Array.from_buffers(wide, len(valid), buffers, children=children)


def _mapped(path: Path) -> pa.Buffer:
    if path.stat().st_size == 0:  # an empty file cannot be mapped
        return pa.py_buffer(b"")
    return pa.py_buffer(np.memmap(path, np.uint8, mode="r"))


def _bytes_between(array: pa.Array, starts: Indices, stops: Indices) -> Indices:
    """Return the bytes of texts of a wide array between places, a pair of which is a row's."""
    kind = array.type
    if pa.types.is_struct(kind):
        parts = [_bytes_between(array.field(n), starts, stops) for n in range(kind.num_fields)]
        return np.asarray(np.sum(parts, axis=0), np.int64)
    if pa.types.is_large_list(kind) or _is_wide_text(kind):
        offsets = np.frombuffer(array.buffers()[1], np.int64)
        if _is_wide_text(kind):
            return np.asarray(offsets[stops] - offsets[starts])
        return _bytes_between(array.values, offsets[starts], offsets[stops])
    return np.asarray((stops - starts) * (kind.bit_width // 8))


def _is_wide_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_large_string(kind) or pa.types.is_large_binary(kind))
