"""How work is spread: items go to workers, each item's output is a set of Parquet parts.

A worker is made once per process and then called with one item at a time; it yields groups of
tables (name → table). An item's parts appear together with its marker, so a killed stage repeats
only the items without one. `LocalExecutor` runs in this process; the Ray one streams the same
worker through Ray Data.
"""

from __future__ import annotations

import json
import logging
import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from curation.config import Config
from curation.errors import LedgerError, StorageError
from curation.records import digest
from curation.storage import write_json

logger = logging.getLogger(__name__)

Tables = Mapping[str, pa.Table]
Worker = Callable[[Any], Iterator[Tables]]
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Resources:
    """What one worker needs: `cpus` as Ray counts them.

    A `lasting` worker is costly to make (it loads a model) and is kept for many items. An
    `accelerated` one has a GPU to itself wherever there are GPUs, with the CPUs that feed it.
    """

    cpus: float = 1.0
    lasting: bool = False
    accelerated: bool = False


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
        self.attempt = uuid4().hex
        self.writers: dict[str, pq.ParquetWriter] = {}
        self.rows: dict[str, int] = {}

    @property
    def marker(self) -> Path:
        """The file whose presence says that the item is finished."""
        return self.out / "finished" / f"{self.stem}.json"

    def write(self, groups: Iterable[Tables]) -> int:
        """Write all groups; return the number of rows of the widest table. Raises StorageError."""
        finished = False
        try:
            for tables in groups:
                with self._disk():
                    for name, table in tables.items():
                        self._append(name, table)
            with self._disk():
                self._publish()
            finished = True
        finally:
            if not finished:
                self._discard()
        write_json(self.rows, self.marker)
        return max(self.rows.values(), default=0)

    @contextmanager
    def _disk(self) -> Iterator[None]:
        """Name our own disk where it refuses; the worker's errors are its own."""
        try:
            yield
        except OSError as error:
            raise StorageError(
                f"cannot write under {self.out}: {error}; free some space or change --run-dir"
            ) from error

    def _append(self, name: str, table: pa.Table) -> None:
        if name not in self.writers:
            partial = self._partial(name)
            partial.parent.mkdir(parents=True, exist_ok=True)
            self.rows[name] = 0
            self.writers[name] = pq.ParquetWriter(partial, table.schema, compression="zstd")
        self.writers[name].write_table(table)
        self.rows[name] += table.num_rows

    def _publish(self) -> None:
        for name, writer in self.writers.items():
            writer.close()
            self._partial(name).replace(self.out / name / f"{self.stem}.parquet")

    def _discard(self) -> None:
        for name in self.rows:
            self._partial(name).unlink(missing_ok=True)

    def _partial(self, name: str) -> Path:
        return self.out / name / f".{self.stem}.{self.attempt}.partial"


def begin_stream(items: Sequence[Any], out: Path) -> None:
    """Make sure that the parts under `out` belong to these items, cut as they are now.

    Parts are known by their item's ordinal. When an interrupted stream cut its work otherwise
    (other batch sizes, other shards), its parts are removed and all items run again; so what else
    a stage writes under `out`, it writes after its stream.
    """
    plan = digest(*(_identity(item) for item in items))
    path = out / "plan.json"
    if path.exists():
        if json.loads(path.read_text(encoding="utf-8"))["plan"] == plan:
            return
        logger.warning("%s was begun with other batches or shards: it starts again", out)
        _remove_parts(out)
    write_json({"plan": plan, "items": len(items)}, path)


def _identity(item: Any) -> str | bytes:
    """An item as bytes that are equal in every process; pickled settings hold a set, which is not.

    Only tuples are looked into.
    """
    if isinstance(item, tuple):
        return digest(*(_identity(part) for part in item))
    if isinstance(item, Config):
        return item.model_dump_json()
    return pickle.dumps(item)


def end_stream(items: Sequence[Any], out: Path) -> None:
    """Raise LedgerError unless every item has its marker."""
    missing = [n for n in range(len(items)) if not PartWriter(out, n).marker.exists()]
    if missing:
        raise LedgerError(
            f"{len(missing)} of {len(items)} pieces of work under {out} never finished, the first "
            f"is number {missing[0]}; run the same command again"
        )


def _remove_parts(out: Path) -> None:
    """Remove every part directly under `out`'s tables, with or without a marker, and the plan."""
    for path in [*out.glob("*/part-*.parquet"), *out.glob("finished/*.json")]:
        path.unlink()
    (out / "plan.json").unlink()


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
        begin_stream(items, out)
        worker = make()
        for ordinal, item in enumerate(items):
            advance(run_item(worker, item, out, ordinal))
        end_stream(items, out)

    def run(self, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterable[Result]:
        """Apply `function` to the items in order."""
        return (function(item) for item in items)
