"""How work is spread: items go to workers, each item's output is a set of Parquet parts.

A worker is made once per process and then called with one item at a time; it yields groups of
tables (name → table). An item's parts appear together with its marker, so a killed stage repeats
only the items without one. `LocalExecutor` runs in this process; the Ray one streams the same
worker through Ray Data.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from curation.errors import StorageError
from curation.storage import write_json

logger = logging.getLogger(__name__)

Tables = Mapping[str, pa.Table]
Worker = Callable[[Any], Iterator[Tables]]
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Resources:
    """What one worker needs: `cpus` and `gpus` as Ray counts them.

    A `lasting` worker is costly to make (it loads a model) and is kept for many items.
    """

    cpus: float = 1.0
    gpus: float = 0.0
    lasting: bool = False


class Executor(Protocol):
    """Spreads items over workers."""

    def stream(
        self,
        items: Sequence[Any],
        make: Callable[[], Worker],
        out: Path,
        advance: Callable[[int], None],
        resources: Resources = ...,
    ) -> None:
        """Run every item that has no marker under `out`; call `advance` with rows done."""
        ...

    def run(self, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterable[Result]:
        """Apply a pure function to items, in order."""
        ...


class PartWriter:
    """Writes one item's tables as `out/<name>/part-<ordinal>.parquet`, then its marker."""

    def __init__(self, out: Path, ordinal: int) -> None:
        self.out = out
        self.stem = f"part-{ordinal:06d}"
        self.writers: dict[str, pq.ParquetWriter] = {}
        self.rows: dict[str, int] = {}

    @property
    def marker(self) -> Path:
        """The file whose presence says that the item is finished."""
        return self.out / "finished" / f"{self.stem}.json"

    def write(self, groups: Iterable[Tables]) -> int:
        """Write all groups; return the number of rows of the widest table. Raises StorageError."""
        try:
            for tables in groups:
                for name, table in tables.items():
                    self._append(name, table)
            self._publish()
        except OSError as error:
            self._discard()
            raise StorageError(
                f"cannot write under {self.out}: {error}; free some space or change --run-dir"
            ) from error
        write_json(self.rows, self.marker)
        return max(self.rows.values(), default=0)

    def _append(self, name: str, table: pa.Table) -> None:
        if name not in self.writers:
            partial = self._partial(name)
            partial.parent.mkdir(parents=True, exist_ok=True)
            self.writers[name] = pq.ParquetWriter(partial, table.schema, compression="zstd")
            self.rows[name] = 0
        self.writers[name].write_table(table)
        self.rows[name] += table.num_rows

    def _publish(self) -> None:
        for name, writer in self.writers.items():
            writer.close()
            self._partial(name).replace(self.out / name / f"{self.stem}.parquet")

    def _discard(self) -> None:
        for name in self.writers:
            self._partial(name).unlink(missing_ok=True)

    def _partial(self, name: str) -> Path:
        return self.out / name / f".{self.stem}.partial"


def run_item(worker: Worker, item: Any, out: Path, ordinal: int) -> int:
    """Run one item to its parts and marker; return its rows. Skips an item already finished."""
    writer = PartWriter(out, ordinal)
    if writer.marker.exists():
        finished: dict[str, int] = json.loads(writer.marker.read_text(encoding="utf-8"))
        return max(finished.values(), default=0)
    return writer.write(worker(item))


@dataclass(frozen=True, slots=True)
class LocalExecutor:
    """Runs every item in this process, one after another."""

    def stream(
        self,
        items: Sequence[Any],
        make: Callable[[], Worker],
        out: Path,
        advance: Callable[[int], None],
        resources: Resources = Resources(),
    ) -> None:
        """Run the items in order."""
        if not items:
            return
        worker = make()
        for ordinal, item in enumerate(items):
            advance(run_item(worker, item, out, ordinal))

    def run(self, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterable[Result]:
        """Apply `function` to the items in order."""
        return (function(item) for item in items)
