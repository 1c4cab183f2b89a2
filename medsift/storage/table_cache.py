"""Tables kept between runs, found again by content id: a new batch computes only what is new.

A cache is a folder of Parquet parts under the fingerprint of what computed them. Parts are named
by the digest of their bytes, appear whole, and are never changed: any number of writers may append
at once. A part that is no longer what its name says is removed with a warning, and what it held is
computed again.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from medsift.errors import StorageError, UsageError
from medsift.storage.cache_parts import PartFolder, Place
from medsift.storage.parts import CHECKED

logger = logging.getLogger(__name__)
ROW_GROUP: Final = 1024


class TableCache:
    """Rows by a content id, in `root/fingerprint`.

    `key` names the id's column. Rows of one id are taken to be equal; one of them is used. Ids and
    the places of their rows are held in memory, some 200 bytes each.
    """

    def __init__(self, root: Path, fingerprint: str, key: str = "content_id") -> None:
        self.folder = root / fingerprint
        self.key = key
        self._parts = PartFolder(self.folder)
        self._places: dict[str, Place] = {}

    def lookup(self, ids: Sequence[str]) -> pa.Table:
        """Cached rows of `ids`, each id at most once; ids without a row are left out.

        Only row groups that hold a wanted id are read, one at a time, and new parts are looked for
        only when an id is not known. An empty cache gives a table of no rows and the key column
        alone. Raises StorageError for a folder that cannot be read.
        """
        found = []
        wanted = set(ids)
        while wanted:
            if any(content not in self._places for content in wanted):
                self._refresh()
            groups: dict[Place, set[str]] = {}
            for content in wanted:
                place = self._places.get(content)
                if place is not None:
                    groups.setdefault(place, set()).add(content)
            # What a damaged part held is looked for once more: another part may hold it too.
            wanted = set()
            for place, contents in sorted(groups.items()):
                rows = self._rows(place, contents)
                if rows is None:
                    wanted |= contents
                else:
                    found.append(rows)
        if not found:
            return pa.table({self.key: pa.array([], pa.string())})
        try:
            return pa.concat_tables(found)
        except pa.ArrowInvalid as error:
            raise StorageError(
                f"parts of {self.folder} hold different columns: {error}; delete the folder",
                code="cache_unusable",
            ) from error

    def append(self, table: pa.Table) -> None:
        """Add rows as one new part; a table already there is not written again.

        Raises UsageError for a table without the key, StorageError when the disk refuses.
        """
        if self.key not in table.column_names:
            raise UsageError(
                f"a table of {table.column_names} has no column {self.key!r}; add it first",
                code="cache_unusable",
            )
        if table.num_rows == 0:
            return
        sink = pa.BufferOutputStream()
        pq.write_table(table.combine_chunks(), sink, row_group_size=ROW_GROUP, **CHECKED)
        self._parts.put(sink.getvalue().to_pybytes())

    def _refresh(self) -> None:
        """Learn the ids of parts that came since the last look; vectors are not read."""
        for part in self._parts.new():
            try:
                with self._open(part) as file:
                    for group in range(file.num_row_groups):
                        keys = file.read_row_group(group, columns=[self.key])[self.key]
                        for content in keys.to_pylist():
                            self._places.setdefault(content, (part, group))
            except FileNotFoundError:
                continue  # removed as damaged by another process
            except (OSError, pa.ArrowException, KeyError, UnicodeDecodeError) as error:
                self._give_up(part, error)

    def _rows(self, place: Place, wanted: set[str]) -> pa.Table | None:
        """The wanted rows of one row group; None where their part is damaged or gone."""
        part, group = place
        try:
            if not self._parts.intact(part):
                raise pa.ArrowInvalid("its bytes are not those that its name says")
            with self._open(part) as file:
                rows = file.read_row_group(group)
        except FileNotFoundError as error:
            self._forget(part)
            logger.warning("cache part %s is gone: %s", part, error)
            return None
        except (OSError, pa.ArrowException) as error:
            self._give_up(part, error)
            return None
        return _first_of_each(_item_named(rows), self.key, wanted)

    def _open(self, part: Path) -> pq.ParquetFile:
        return pq.ParquetFile(part, page_checksum_verification=True)

    def _give_up(self, part: Path, error: Exception) -> None:
        """Remove a damaged part. Raises StorageError where it is the disk that refuses."""
        words = " ".join(str(error).split())
        # Arrow's own verdicts on content are errors without a number; a disk's have one.
        if isinstance(error, OSError) and error.errno is not None:
            raise StorageError(
                f"cannot read cache part {part}: {words}; make it readable, or name another cache",
                code="cache_unusable",
            ) from error
        logger.warning("cache part %s is damaged (%s): removed, to be computed again", part, words)
        self._forget(part)
        try:
            part.unlink(missing_ok=True)
        except OSError as refused:
            raise StorageError(
                f"cannot remove the damaged cache part {part}: {refused}; delete that file",
                code="cache_unusable",
            ) from refused

    def _forget(self, part: Path) -> None:
        self._places = {key: place for key, place in self._places.items() if place[0] != part}
        # Ids of that part that others hold as well are learned again.
        self._parts.forget()


def _first_of_each(rows: pa.Table, key: str, wanted: set[str]) -> pa.Table:
    taken: set[str] = set()
    places = []
    for place, content in enumerate(rows[key].to_pylist()):
        if content in wanted and content not in taken:
            taken.add(content)
            places.append(place)
    return rows.take(pa.array(places, pa.int64()))


def _item_named(table: pa.Table) -> pa.Table:
    """The table with its lists' items named as fresh tables name them; Parquet renames them.

    So what comes out of the cache is written in the same bytes as what was just computed.
    """
    fields = [field.with_type(_named(field.type)) for field in table.schema]
    return table.cast(pa.schema(fields, table.schema.metadata))


def _named(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(kind.value_field.with_name("item"), kind.list_size)
    if pa.types.is_list(kind):
        return pa.list_(kind.value_field.with_type(_named(kind.value_type)).with_name("item"))
    return kind
