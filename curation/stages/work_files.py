"""Cut the rows of a stage into files of work: a worker reads one and writes one part.

The machine that began the run then holds the rows of one file at a time, and a stage of any size
leaves few large files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import pyarrow as pa

from medsift.storage.mirror import discard
from medsift.storage.parts import read_part, write_table
from medsift.storage.seals import seal

PART_BYTES: Final = 128 << 20
"""About the bytes of a part in memory; compressed it is a file of 64 MiB or more."""
PARTS_TO_SHARE: Final = 64
"""A smaller pool is cut into about as many parts, so that as many workers can share it."""


def rows_per_part(rows: int, batch: int, row_bytes: int) -> int:
    """Return the rows of a part: whole batches, one in a small pool and many in a large one.

    Args:
        rows: All rows of the stage.
        batch: Rows that a worker computes at a time, after which it stores them in the cache.
        row_bytes: About the bytes of a row of the part in memory.
    """
    shared, largest = rows // PARTS_TO_SHARE, PART_BYTES // max(row_bytes, 1)
    return batch * max(1, min(shared, largest) // batch)


class WorkFile(NamedTuple):
    """One item of a stream: the number of its file, its rows, and the file's size and CRC-32.

    Equal rows make an equal item on every machine, so that an interrupted stream is resumed.
    """

    number: int
    rows: int
    size: int
    crc32: int


@dataclass(frozen=True, slots=True)
class WorkFolder:
    """The files of work of a stream, in a folder that its workers reach."""

    folder: Path

    def write(self, tables: Iterable[pa.Table], schema: pa.Schema) -> list[WorkFile]:
        """Write each table as one file, and return the items. Raises StorageError."""
        items = []
        for number, table in enumerate(tables):
            path = self._path(number)
            write_table(table.cast(schema), path)
            written = seal(path)
            items.append(WorkFile(number, table.num_rows, written.size, written.crc32))
        return items

    def read(self, item: WorkFile) -> pa.Table:
        """Return the rows of an item. Raises StorageError where its file is damaged or gone."""
        return read_part(self._path(item.number))

    def read_all(self, items: Iterable[WorkFile]) -> Iterator[pa.Table]:
        """Yield the rows of one item after the other."""
        return map(self.read, items)

    def remove(self, items: Iterable[WorkFile]) -> None:
        """Remove the files of a stream that is done."""
        discard(self._path(item.number) for item in items)

    def _path(self, number: int) -> Path:
        return self.folder / f"part-{number:06d}.parquet"
