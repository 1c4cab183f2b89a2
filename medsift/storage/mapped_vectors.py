"""Keep vectors in one file that is mapped into memory, and find them by content id.

A process that opens it holds nothing but what it looks up; several processes share one copy. Only
the ids of the file's own index are sorted, in 24 bytes each, when it is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from medsift.arrays import Floats, Indices
from medsift.records import digest
from medsift.storage.atomic import atomic_folder
from medsift.storage.parts import count_rows, read_batches
from medsift.storage.reserve import create_mapped_array
from medsift.storage.vectors import ContentVectors, no_vector

DIGITS: Final = 64
KEY_DIGITS: Final = 32
"""Hexadecimal digits of an id that the index keeps: 128 bits."""
Keys = NDArray[np.bytes_]


@dataclass(frozen=True, slots=True)
class MappedVectors:
    """Vectors `matrix` (n, d) in a file, in the order of their ids; `keys` (n,) are those."""

    matrix: Floats
    keys: Keys

    def rows(self, wanted: Sequence[str] | pa.Array, what: str) -> Floats:
        """Return the vectors (len(wanted), d) of contents; UsageError about `what` without one."""
        return np.asarray(self.matrix[self.find(wanted, what)])

    def find(self, wanted: Sequence[str] | pa.Array, what: str) -> Indices:
        """Return the rows (len(wanted),) of contents; UsageError about `what` without one."""
        keys = keys_of(wanted)
        if not len(keys):
            return np.empty(0, np.int64)
        place = np.searchsorted(self.keys, keys)
        # An index of none finds none: its only key is empty, which no id has.
        known = np.append(self.keys, b"") if not len(self.keys) else self.keys
        missing = np.flatnonzero(known[np.minimum(place, len(known) - 1)] != keys)
        if len(missing):
            raise no_vector(len(missing), len(keys), str(wanted[int(missing[0])]), what)
        return place.astype(np.int64)


AnyVectors = ContentVectors | MappedVectors


def keys_of(ids: Sequence[str] | pa.Array) -> Keys:
    """Return 128 bits of each id: the first of a SHA-256 in hexadecimal, which sort as the ids do.

    Of any other id it is a digest, which sorts in another way.
    """
    column = ids if isinstance(ids, pa.Array) else pa.array(ids, pa.string())
    keys = np.zeros((len(column), KEY_DIGITS // 2), np.uint8)
    regular = pc.match_substring_regex(column, "^[0-9a-f]{64}$").to_numpy(zero_copy_only=False)
    if len(rows := np.flatnonzero(regular)):
        plain = column if len(rows) == len(column) else column.take(pa.array(rows))
        start = int(np.frombuffer(plain.buffers()[1], np.int32, 1, 4 * plain.offset)[0])
        text = np.frombuffer(plain.buffers()[2], np.uint8, DIGITS * len(plain), start)
        digits = text.reshape(-1, DIGITS)[:, :KEY_DIGITS]
        # '0' to '9' are 48 to 57, 'a' to 'f' are 97 to 102.
        values = np.where(digits >= 97, digits - 87, digits - 48).astype(np.uint8)
        keys[rows] = values[:, ::2] << 4 | values[:, 1::2]
    for row in np.flatnonzero(~regular).tolist():
        own = digest("id", column[row].as_py())[:KEY_DIGITS]
        keys[row] = np.frombuffer(bytes.fromhex(own), np.uint8)
    return keys.view(f"S{KEY_DIGITS // 2}").ravel()


def map_vectors(source: Path, folder: Path) -> MappedVectors:
    """Open the vectors of a folder of parts as they are kept in `folder`, written where missing.

    Raises:
        StorageError: the disk refuses, or a part is damaged.
    """
    if not folder.exists():
        _write(source, folder)
    arrays = (np.load(folder / f"{name}.npy", mmap_mode="c") for name in MappedVectors.__slots__)
    return MappedVectors(*arrays)


def _write(source: Path, folder: Path) -> None:
    count, width = _shape(source)
    keys = np.empty(count, f"S{KEY_DIGITS // 2}")
    start = 0
    for table in read_batches(source, ["content_id"]):
        keys[start : start + len(table)] = keys_of(table["content_id"].combine_chunks())
        start += len(table)
    rank = np.empty(count, np.int64)
    rank[np.argsort(keys, kind="stable")] = np.arange(count)
    keys.sort(kind="stable")
    with atomic_folder(folder) as partial:
        np.save(partial / "keys.npy", keys)
        matrix = create_mapped_array(partial / "matrix.npy", "f4", (count, width))
        start = 0
        for table in read_batches(source, ["vector"]):
            vectors = table["vector"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
            matrix[rank[start : start + len(table)]] = vectors.reshape(-1, width)
            start += len(table)
        matrix.flush()


def _shape(source: Path) -> tuple[int, int]:
    """Return the number of vectors in a folder and their width, 0 where there is none."""
    width = 0
    for table in read_batches(source, ["vector"]):
        kind = table.schema.field("vector").type
        width = kind.list_size if pa.types.is_fixed_size_list(kind) else len(table["vector"][0])
        break
    return count_rows(source), width
