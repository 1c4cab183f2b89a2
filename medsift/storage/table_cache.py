"""Keep computed rows between runs, by content id, so that only new content is computed.

A cache is a folder of Parquet parts under the fingerprint of what computed them. Parts are named
by the digest of their bytes, appear complete, and are never changed: any number of writers may
append at once. In a store a log names the parts (`medsift.storage.cache_log`). A part whose bytes
no longer fit its name is removed with a warning, and its rows are computed again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence, Set
from contextlib import suppress
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from medsift.errors import StorageError, UsageError
from medsift.storage.cache_log import PartLog
from medsift.storage.cache_parts import PartFolder, RowGroup
from medsift.storage.mirror import fetch, here, is_mirrored
from medsift.storage.parts import CHECKED

logger = logging.getLogger(__name__)
ROW_GROUP: Final = 1024
MERGED_BYTES: Final = 64 << 20
SMALL_BYTES: Final = 16 << 20
MANY_PARTS: Final = 64
"""Small parts up to this number are not worth merging."""


class TableCache:
    """Rows by a content id, in `root/fingerprint`.

    `key` names the id's column. Rows of one id are assumed to be equal; one of them is used. Ids
    and the row groups of their rows are kept in memory, some 200 bytes each.
    """

    def __init__(self, root: Path, fingerprint: str, key: str = "content_id") -> None:
        self.folder = here(root) / fingerprint
        self.key = key
        self._parts = (PartLog if is_mirrored(root) else PartFolder)(self.folder)
        self._row_groups: dict[str, RowGroup] = {}

    def lookup(self, ids: Sequence[str]) -> pa.Table:
        """Return the cached rows of `ids`, each id at most once; ids without a row are left out.

        Only row groups with a wanted id are read, one at a time, and new parts are looked for only
        when an id is not known. An empty cache gives a table without rows, of the key column
        alone. Raises StorageError for a folder that cannot be read.
        """
        tables = []
        wanted = set(ids)
        while wanted:
            if any(content not in self._row_groups for content in wanted):
                self._refresh()
            groups: dict[RowGroup, set[str]] = {}
            for content in wanted:
                if content in self._row_groups:
                    groups.setdefault(self._row_groups[content], set()).add(content)
            # The rows of a damaged part are looked for once more: another part may have them too.
            wanted = set()
            for group, contents in sorted(groups.items()):
                rows = self._read(group, contents)
                if rows is None:
                    wanted |= contents
                else:
                    tables.append(rows)
        if not tables:
            return pa.table({self.key: pa.array([], pa.string())})
        try:
            return pa.concat_tables(tables)
        except pa.ArrowInvalid as error:
            message = f"parts of {self.folder} have different columns: {error}; delete the folder"
            raise StorageError(message, code="cache_unusable") from error

    def append(self, table: pa.Table) -> None:
        """Add rows as one new part; a table already there is not written again.

        Raises UsageError for a table without the key, StorageError when the disk refuses.
        """
        if self.key not in table.column_names:
            message = f"a table of {table.column_names} has no column {self.key!r}; add it first"
            raise UsageError(message, code="cache_unusable", column=self.key)
        if table.num_rows == 0:
            return
        sink = pa.BufferOutputStream()
        pq.write_table(table.combine_chunks(), sink, row_group_size=ROW_GROUP, **CHECKED)
        self._parts.put(sink.getvalue().to_pybytes(), self.key)

    def remove(self, ids: Set[str]) -> int:
        """Remove the rows of `ids` for good, and return how many there were.

        A part with such rows is written again without them before it is deleted. A cache of other
        keys is left alone. Raises StorageError when the disk or the store refuses.
        """
        removed = 0
        self._parts = type(self._parts)(self.folder)
        for part in list(self._parts.new()):
            try:
                if self._parts.lacks(part, ids):
                    continue
                with pq.ParquetFile(fetch(part), page_checksum_verification=True) as file:
                    if self.key not in file.schema_arrow.names:
                        continue
                    keys = file.read(columns=[self.key])[self.key]
                    there = sorted(ids & set(keys.to_pylist()))
                    gone = pc.is_in(keys, pa.array(there, keys.type))
                    count = pc.sum(gone).as_py() or 0
                    if not count:
                        continue
                    rest = file.read().filter(pc.invert(gone))
            except FileNotFoundError:
                continue  # removed by another process
            except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
                # What cannot be read may have such rows: its other rows are computed again.
                self._give_up(part, error)
                continue
            self.append(rest)
            self._delete(part)
            removed += count
        self._parts = type(self._parts)(self.folder)
        self._row_groups.clear()
        return removed

    def merge(self) -> int:
        """Merge small parts into parts of about `MERGED_BYTES`; return how many small ones went.

        Rows that were computed together stay together. A large part is written before its small
        ones are removed, so that other processes find every row in one of them. Few small parts
        are left alone, and so is a cache in a store. Raises StorageError when the disk refuses.
        """
        if is_mirrored(self.folder):
            return 0
        found = PartFolder(self.folder)
        small = {part: size for part in found.new() if (size := _size(part)) < SMALL_BYTES}
        if len(small) < MANY_PARTS:
            return 0
        merged, group, group_bytes = 0, list[tuple[Path, pa.Table]](), 0
        for part in self._by_first_id(small):
            rows = self._rows_of(part)
            if rows is not None:
                group.append((part, rows))
                group_bytes += small[part]
            if group_bytes >= MERGED_BYTES:
                merged += self._replace(group)
                group, group_bytes = [], 0
        merged += self._replace(group)
        self._row_groups.clear()
        self._parts = PartFolder(self.folder)
        return merged

    def _by_first_id(self, parts: Iterable[Path]) -> list[Path]:
        """Return parts in the order of their first ids, which is that in which they were made."""
        first: dict[Path, str] = {}
        for part in parts:
            with suppress(FileNotFoundError, OSError, pa.ArrowException, KeyError):
                first[part] = next(ids[0] for ids in self._parts.keys(part, self.key) if ids)
        return sorted(first, key=lambda part: (first[part], part))

    def _rows_of(self, part: Path) -> pa.Table | None:
        """Return a whole part; None where it is damaged, or another process merged it."""
        try:
            if not self._parts.intact(part):
                raise pa.ArrowInvalid("its bytes are not those that its name says")
            with pq.ParquetFile(part, page_checksum_verification=True) as file:
                return file.read()
        except FileNotFoundError:
            return None
        except (OSError, pa.ArrowException) as error:
            self._give_up(part, error)
            return None

    def _replace(self, group: Sequence[tuple[Path, pa.Table]]) -> int:
        """Write the rows of several parts as one, then remove those; return how many went."""
        if len(group) < 2:
            return 0
        self.append(pa.concat_tables([rows for _, rows in group], promote_options="default"))
        for part, _ in group:
            self._delete(part)
        return len(group)

    def _refresh(self) -> None:
        """Read the ids of new parts; vectors are not read."""
        for part in self._parts.new():
            try:
                for group, contents in enumerate(self._parts.keys(part, self.key)):
                    for content in contents:
                        self._row_groups.setdefault(content, (part, group))
            except FileNotFoundError:
                continue  # removed as damaged by another process
            except (OSError, pa.ArrowException, KeyError, UnicodeDecodeError) as error:
                self._give_up(part, error)

    def _read(self, row_group: RowGroup, wanted: set[str]) -> pa.Table | None:
        """Return the wanted rows of one row group; None where their part is damaged or gone."""
        part, group = row_group
        try:
            if not self._parts.intact(part):
                raise pa.ArrowInvalid("its bytes are not those that its name says")
            with pq.ParquetFile(part, page_checksum_verification=True) as file:
                rows = file.read_row_group(group)
        except FileNotFoundError as error:
            # Other parts of the index are likely gone too, merged by another process.
            self._row_groups.clear()
            self._parts.forget(part)
            logger.info("cache part %s is gone: %s", part, error)
            return None
        except (OSError, pa.ArrowException) as error:
            self._give_up(part, error)
            return None
        # Parquet renames the items of lists: with the names of fresh tables, rows out of the cache
        # are written in the same bytes as rows just computed.
        fields = [field.with_type(_named(field.type)) for field in rows.schema]
        rows = rows.cast(pa.schema(fields, rows.schema.metadata))
        first: dict[str, int] = {}
        for row, content in enumerate(rows[self.key].to_pylist()):
            if content in wanted:
                first.setdefault(content, row)
        return rows.take(pa.array(list(first.values()), pa.int64()))

    def _give_up(self, part: Path, error: Exception) -> None:
        """Remove a damaged part. Raises StorageError where it is the disk that refuses."""
        words = " ".join(str(error).split())
        # Errors of Arrow about the content have no errno, errors of the disk have one.
        if isinstance(error, OSError) and error.errno is not None:
            raise StorageError(
                f"cannot read cache part {part}: {words}; make it readable, or name another cache",
                code="cache_unusable",
            ) from error
        logger.warning("cache part %s is damaged (%s): removed, to be computed again", part, words)
        self._forget(part)
        self._delete(part)

    def _delete(self, part: Path) -> None:
        try:
            self._parts.remove(part)
        except OSError as refused:
            message = f"cannot remove the cache part {part}: {refused}; delete that file"
            raise StorageError(message, code="cache_unusable") from refused

    def _forget(self, part: Path) -> None:
        self._row_groups = {
            content: group for content, group in self._row_groups.items() if group[0] != part
        }
        # Other parts may have the same ids, so that all are listed again.
        self._parts.forget(part)


def _named(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(kind.value_field.with_name("item"), kind.list_size)
    if pa.types.is_list(kind):
        return pa.list_(kind.value_field.with_type(_named(kind.value_type)).with_name("item"))
    return kind


def _size(part: Path) -> int:
    """Return the bytes of a part; too many to be small where another process removed it."""
    try:
        return part.stat().st_size
    except FileNotFoundError:
        return SMALL_BYTES
