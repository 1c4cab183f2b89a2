"""Tables kept between runs, found again by content id: a new batch computes only what is new.

A cache is a folder of Parquet parts under the fingerprint of what computed them. Parts are named
by what they hold, appear whole, and are never changed: any number of writers may append at once.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from curation import records
from curation.errors import StorageError, UsageError

ROW_GROUP: Final = 1024


class TableCache:
    """Rows by a content id, in `root/fingerprint`.

    `key` names the id's column. Rows of one id are taken to be equal; one of them is used. Ids and
    the places of their rows are held in memory, some 200 bytes each.
    """

    def __init__(self, root: Path, fingerprint: str, key: str = "content_id") -> None:
        self.folder = root / fingerprint
        self.key = key
        self._parts: set[Path] = set()
        self._places: dict[str, tuple[Path, int]] = {}

    def lookup(self, ids: Sequence[str]) -> pa.Table:
        """Cached rows of `ids`, each id at most once; ids without a row are left out.

        Only row groups that hold a wanted id are read, one at a time. An empty cache gives a
        table of no rows and the key column alone. Raises StorageError naming a damaged part.
        """
        self._refresh()
        groups: dict[tuple[Path, int], set[str]] = {}
        for content in ids:
            place = self._places.get(content)
            if place is not None:
                groups.setdefault(place, set()).add(content)
        found = [self._rows(*place, wanted) for place, wanted in sorted(groups.items())]
        if not found:
            return pa.table({self.key: pa.array([], pa.string())})
        try:
            return pa.concat_tables(found)
        except pa.ArrowInvalid as error:
            raise StorageError(
                f"parts of {self.folder} hold different columns: {error}; delete the folder"
            ) from error

    def append(self, table: pa.Table) -> None:
        """Add rows as one new part; a table already there is not written again.

        Raises UsageError for a table without the key, StorageError when the disk refuses.
        """
        if self.key not in table.column_names:
            raise UsageError(
                f"a table of {table.column_names} has no column {self.key!r}; add it before caching"
            )
        if table.num_rows == 0:
            return
        target = self.folder / f"{_content(table)}.parquet"
        if target.exists():
            return
        partial = target.with_name(f".{target.stem}.{os.getpid()}.{uuid4().hex}.partial")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            pq.write_table(table, partial, compression="zstd", row_group_size=ROW_GROUP)
            partial.replace(target)
        except OSError as error:
            with suppress(OSError):
                partial.unlink()
            raise StorageError(
                f"cannot write {target}: {error}; free some space or choose another cache_dir"
            ) from error

    def _refresh(self) -> None:
        """Learn the ids of parts that came since the last look; vectors are not read."""
        for part in sorted(self.folder.glob("*.parquet")):
            if part in self._parts or part.name.startswith("."):
                continue
            try:
                with pq.ParquetFile(part) as file:
                    for group in range(file.num_row_groups):
                        place = (part, group)
                        keys = file.read_row_group(group, columns=[self.key])[self.key]
                        for content in keys.to_pylist():
                            self._places.setdefault(content, place)
            except (OSError, pa.ArrowException, KeyError) as error:
                raise _damaged(part, error) from error
            self._parts.add(part)

    def _rows(self, part: Path, group: int, wanted: set[str]) -> pa.Table:
        """The wanted rows of one row group."""
        try:
            with pq.ParquetFile(part) as file:
                return _first_of_each(file.read_row_group(group), self.key, wanted)
        except (OSError, pa.ArrowException) as error:
            raise _damaged(part, error) from error


def _damaged(part: Path, error: Exception) -> StorageError:
    words = " ".join(str(error).split())
    return StorageError(f"cache part {part} is damaged or gone: {words}; delete that file")


def _first_of_each(rows: pa.Table, key: str, wanted: set[str]) -> pa.Table:
    taken: set[str] = set()
    places = []
    for place, content in enumerate(rows[key].to_pylist()):
        if content in wanted and content not in taken:
            taken.add(content)
            places.append(place)
    return rows.take(pa.array(places, pa.int64()))


def _content(table: pa.Table) -> str:
    """Digest of a table's schema and rows, the same for every way it is cut into chunks."""
    whole = table.combine_chunks()
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, whole.schema) as writer:
        writer.write_table(whole)
    return records.digest(sink.getvalue().to_pybytes())
