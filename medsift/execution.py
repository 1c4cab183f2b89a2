"""Spread work over workers: items go in, each item's output is a set of Parquet parts.

A worker is made once per process and then called with one item at a time; it yields groups of
tables (name → table). An item's parts appear together with its marker, so a killed stage repeats
only the items without one. `LocalExecutor` runs in this process; the Ray one streams the same
worker through Ray Data.
"""

from __future__ import annotations

import io
import json
import logging
import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from medsift.config import Config
from medsift.errors import LedgerError
from medsift.records import digest
from medsift.storage.atomic import named_refusals
from medsift.storage.parts import CHECKED, write_json
from medsift.storage.seals import Seal, broken, seals

logger = logging.getLogger(__name__)

Tables = Mapping[str, pa.Table]
Worker = Callable[[Any], Iterator[Tables]]
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Resources:
    """The resources of one worker: `cpus` as Ray counts them.

    A `lasting` worker is costly to make (it loads a model) and is reused for many items. An
    `accelerated` worker has a GPU to itself wherever there are GPUs, and the CPUs that feed it.
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
        """Run every item that has no marker under `out`.

        Args:
            items: what is spread over the workers; the place of an item names its parts.
            make: makes a worker, which turns an item into groups of tables.
            out: folder of the tables and markers.
            advance: called with the rows of each item that is done, also of one done earlier.
            resources: those of one worker; one CPU and no GPU by default.
        """
        ...

    def run(self, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterable[Result]:
        """Apply a pure function to items, in order."""
        ...


class Marker(Config):
    """The content of an item's marker: rows by table, and the seals of its parts under `out`."""

    rows: dict[str, int]
    files: dict[str, Seal]


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
        try:
            for tables in groups:
                with self._disk():
                    for name, table in tables.items():
                        self._append(name, table)
            with self._disk():
                for name, writer in self.writers.items():
                    writer.close()
                    self._partial(name).replace(self._part(name))
        except BaseException:
            # Whatever ends the item, Ctrl-C included: unfinished parts go, the error passes on.
            for name in self.rows:
                self._partial(name).unlink(missing_ok=True)
            raise
        files = seals(self.out, [self._part(name) for name in self.rows])
        # The marker comes last: an item without one is repeated.
        write_json(Marker(rows=self.rows, files=files).model_dump(mode="json"), self.marker)
        return max(self.rows.values(), default=0)

    def finished_rows(self) -> int | None:
        """Return the rows of a finished, undamaged item; None where it has to run."""
        if not self.marker.exists():
            return None
        try:
            known = Marker.model_validate_json(self.marker.read_bytes())
        except (OSError, ValidationError):
            problem: str | None = f"{self.marker} is damaged"
        else:
            problem = broken(self.out, known.files)
            if problem is None:
                return max(known.rows.values(), default=0)
        logger.warning("%s: that piece of work is done again", problem)
        self.marker.unlink(missing_ok=True)
        return None

    def _disk(self) -> AbstractContextManager[None]:
        """Report what the disk refuses as ours; the worker's own OSErrors pass unchanged."""
        return named_refusals(self.out, "change --run-dir")

    def _append(self, name: str, table: pa.Table) -> None:
        if name not in self.writers:
            partial = self._partial(name)
            partial.parent.mkdir(parents=True, exist_ok=True)
            self.rows[name] = 0
            self.writers[name] = pq.ParquetWriter(partial, table.schema, **CHECKED)
        self.writers[name].write_table(table)
        self.rows[name] += table.num_rows

    def _part(self, name: str) -> Path:
        return self.out / name / f"{self.stem}.parquet"

    def _partial(self, name: str) -> Path:
        return self.out / name / f".{self.stem}.{self.attempt}.partial"


def begin_stream(items: Sequence[Any], out: Path) -> None:
    """Make sure that the parts under `out` belong to these items, cut as they are now.

    Parts are known by their item's ordinal. When an interrupted stream had other batch sizes or
    shards, its parts are removed and all items run again; a stage therefore writes its other
    tables under `out` after its stream.
    """
    plan = digest(*(_identity(item) for item in items))
    path = out / "plan.json"
    if path.exists():
        try:
            note = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            note = None  # a damaged note counts as another plan
        if isinstance(note, dict) and note.get("plan") == plan:
            return
        logger.warning("%s was begun with other batches or shards: it starts again", out)
        for part in [*out.glob("*/part-*.parquet"), *out.glob("finished/*.json")]:
            part.unlink()
        path.unlink(missing_ok=True)
    write_json({"plan": plan, "items": len(items)}, path)


def _identity(item: Any) -> str | bytes:
    """Return an item as bytes that are equal in every process.

    Pickled settings are not, because they contain a set. Only tuples are searched for settings.
    """
    if isinstance(item, tuple):
        return digest(*(_identity(part) for part in item))
    if isinstance(item, Config):
        return item.model_dump_json()
    return pack(item)


class _Packer(pickle.Pickler):
    """Pickle the rows of an Arrow table only: a slice does not carry the table it was cut from."""

    def reducer_override(self, value: Any) -> Any:
        """Return how to pickle a table; everything else is pickled as usual."""
        if not isinstance(value, pa.Table):
            return NotImplemented
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, value.schema) as writer:
            writer.write_table(value)
        return _table, (sink.getvalue().to_pybytes(),)


def _table(data: bytes) -> pa.Table:
    return pa.ipc.open_stream(data).read_all()


def pack(item: Any) -> bytes:
    """Pickle an item; the size depends on the item's own rows alone."""
    buffer = io.BytesIO()
    _Packer(buffer).dump(item)
    return buffer.getvalue()


def end_stream(items: Sequence[Any], out: Path) -> None:
    """Raise LedgerError unless every item has its marker."""
    missing = [n for n in range(len(items)) if not PartWriter(out, n).marker.exists()]
    if missing:
        message = (
            f"{len(missing)} of {len(items)} pieces of work under {out} never finished, the first "
            f"is number {missing[0]}; run the same command again"
        )
        raise LedgerError(message, code="work_unfinished", missing=missing)


def run_item(worker: Worker, item: Any, out: Path, ordinal: int) -> int:
    """Run one item, unless it is finished and undamaged, to parts and marker; return its rows.

    Args:
        worker: turns the item into groups of tables.
        item: what the worker is called with.
        out: folder of the stream's tables and markers.
        ordinal: the item's place in the stream, from 0; it names the parts and the marker.
    """
    writer = PartWriter(out, ordinal)
    rows = writer.finished_rows()
    return writer.write(worker(item)) if rows is None else rows


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
