"""Keep a cache's parts in an object store, where a log says which there are.

A part lies under the digest of its bytes, as in a folder. After it is written its name and content
ids are added to one of sixteen logs, that of the digest's first digit. A log is a row of numbered
keys, each created once: whoever finds a number taken tries the next one, so that any number of
machines may append and nothing has to be listed. A writer that is killed between
part and entry leaves a part that nobody looks for, until the same rows are computed again.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Set
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import pyarrow.parquet as pq

from medsift.errors import StorageError
from medsift.storage.atomic import atomic_file
from medsift.storage.cache_parts import SUFFIX, PartFolder
from medsift.storage.mirror import discard, fetch, key_of, location

LOGS: Final = "0123456789abcdef"


class PartLog(PartFolder):
    """The parts under `root`, the mirror of a place in a store."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._next = dict.fromkeys(LOGS, 0)
        self._ids: dict[Path, list[list[str]]] = {}
        self._gone: set[Path] = set()
        self._entries: dict[Path, set[Path]] = {}

    def put(self, data: bytes, key: str) -> None:
        """Store a part, then its entry in the log. Raises StorageError when the store refuses."""
        name = self.name_of(data)
        part = self._part(name)
        if part in self._ids and part not in self._gone:
            return
        with atomic_file(part, "choose another cache", "cache_unusable") as partial:
            partial.write_bytes(data)
        with pq.ParquetFile(io.BytesIO(data)) as file:
            groups = range(file.num_row_groups)
            ids = [file.read_row_group(n, columns=[key])[key].to_pylist() for n in groups]
        self._gone.discard(part)
        entry = json.dumps({"part": name, "ids": ids, "writer": uuid4().hex}).encode()
        log = name[0]
        number = self._next[log]
        while not self._create(log, number, entry):
            number += 1

    def new(self) -> Iterator[Path]:
        """Yield parts that are new since the last call, sorted. Raises StorageError."""
        with ThreadPoolExecutor(len(LOGS)) as pool:
            fresh = [part for parts in pool.map(self._read_on, LOGS) for part in parts]
        yield from sorted(part for part in fresh if part not in self._gone)

    def keys(self, part: Path, key: str) -> list[list[str]]:
        """Return the content ids of each row group of a part, from its entry."""
        return self._ids[part]

    def lacks(self, part: Path, ids: Set[str]) -> bool:
        """Return whether a part has none of some content ids, by its entry."""
        return all(ids.isdisjoint(group) for group in self._ids[part])

    def intact(self, part: Path) -> bool:
        """Return whether a part's bytes have the digest of its name; they are downloaded once."""
        if not part.exists():
            fetch(part)
        if super().intact(part):
            return True
        # The copy on this machine may be what is damaged.
        fetch(part, again=True)
        return super().intact(part)

    def remove(self, part: Path) -> None:
        """Remove a part for good, and its content ids from the log."""
        entry = json.dumps({"part": part.stem, "ids": [], "writer": uuid4().hex}).encode()
        for path in self._entries.get(part, ()):
            key = key_of(path)
            assert key is not None
            # The part first: a reader that still finds its entry computes the rows again.
            discard([part])
            key.store.write(key.key, entry)
        self.forget(part)

    def forget(self, part: Path) -> None:
        """Read the logs again at the next call of `new`, without this part, which is gone."""
        self._gone.add(part)
        self._ids.pop(part, None)
        self._next = dict.fromkeys(LOGS, 0)

    def _read_on(self, log: str) -> list[Path]:
        """Read the entries of a log that are new; return their parts."""
        parts = []
        while (entry := self._entry(log, self._next[log])) is not None:
            path = self._entry_path(log, self._next[log])
            self._next[log] += 1
            # Without ids it is the entry of a part that was removed.
            if entry["ids"]:
                part = self._part(str(entry["part"]))
                self._ids[part] = entry["ids"]
                self._entries.setdefault(part, set()).add(path)
                parts.append(part)
        return parts

    def _entry(self, log: str, number: int) -> dict[str, Any] | None:
        path = self._entry_path(log, number)
        key = key_of(path)
        assert key is not None
        stored = key.store.read(key.key)
        if stored is None:
            return None
        try:
            entry: dict[str, Any] = json.loads(stored.data)
            return {"part": str(entry["part"]), "ids": list(entry["ids"])}
        except (ValueError, KeyError, TypeError) as error:
            message = f"{location(path)} is damaged; delete the cache {location(self.root)}"
            raise StorageError(message, code="cache_unusable") from error

    def _create(self, log: str, number: int, entry: bytes) -> bool:
        key = key_of(self._entry_path(log, number))
        assert key is not None
        return key.store.create(key.key, entry)

    def _entry_path(self, log: str, number: int) -> Path:
        return self.root / "log" / log / f"{number:09d}.json"

    def _part(self, name: str) -> Path:
        return self.root / name[:2] / f"{name}{SUFFIX}"
