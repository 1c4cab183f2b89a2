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
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field, ValidationError

from medsift.config import Config
from medsift.errors import LedgerError
from medsift.json_logs import shard_of
from medsift.records import digest
from medsift.storage.atomic import atomic_file
from medsift.storage.mirror import (
    AT_ONCE,
    discard,
    fetch,
    here,
    is_mirrored,
    location,
    publish,
    read_current,
)
from medsift.storage.parts import CHECKED, write_groups, write_json
from medsift.storage.refusals import named_refusals
from medsift.storage.seals import Seal, broken, remove_others, seals

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
    seconds: dict[str, float] = Field(default_factory=dict)
    """Time by what it was spent on, of a worker that counts it."""


@runtime_checkable
class CountsSeconds(Protocol):
    """A worker that knows what the time of its last item was spent on."""

    spent: Mapping[str, float]


class PartWriter:
    """Writes one item's tables as `out/<name>/part-<ordinal>.parquet`, then its marker."""

    def __init__(self, out: Path, ordinal: int) -> None:
        self.out = here(out)
        self.stem = f"part-{ordinal:06d}"
        self.attempt = uuid4().hex
        self.writers: dict[str, pq.ParquetWriter] = {}
        self.rows: dict[str, int] = {}

    @property
    def marker(self) -> Path:
        """The file whose presence says that the item is finished."""
        return self.out / "finished" / f"{self.stem}.json"

    def write(self, groups: Iterable[Tables], worker: object = None) -> int:
        """Write all groups; return the number of rows of the widest table.

        The marker has the seconds that `worker` counted meanwhile. Raises StorageError.
        """
        try:
            for tables in groups:
                with self._disk():
                    for name, table in tables.items():
                        self._append(name, table)
            with self._disk():
                for name, writer in self.writers.items():
                    writer.close()
                    publish(self._partial(name), self._part(name))
                    self._partial(name).replace(self._part(name))
        except BaseException:
            # Whatever ends the item, Ctrl-C included: unfinished parts go, the error passes on.
            for name in self.rows:
                self._partial(name).unlink(missing_ok=True)
            raise
        files = seals(self.out, [self._part(name) for name in self.rows])
        # The marker comes last: an item without one is repeated.
        spent = dict(worker.spent) if isinstance(worker, CountsSeconds) else {}
        done = Marker(rows=self.rows, files=files, seconds=spent)
        write_json(done.model_dump(mode="json"), self.marker)
        return max(self.rows.values(), default=0)

    def finished_rows(self) -> int | None:
        """Return the rows of a finished, undamaged item; None where it has to run."""
        known = self.finished()
        return None if known is None else max(known.rows.values(), default=0)

    def finished(self) -> Marker | None:
        """Return the marker of a finished item whose parts are here; None where it has to run."""
        try:
            known = Marker.model_validate_json(read_current(self.marker))
        except FileNotFoundError:
            return None
        except (OSError, ValidationError):
            problem: str | None = f"{self.marker} is damaged"
        else:
            problem = broken(self.out, known.files)
            if problem is None:
                return known
        logger.warning("%s: that piece of work is done again", problem)
        discard([self.marker])
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
        write_groups(self.writers[name], table)
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
    plan = digest(*(identity(item) for item in items))
    path = here(out) / "plan.json"
    note = _noted(path)
    if note is not None and note.get("plan") == plan:
        return
    if note is not None:
        logger.warning("%s was begun with other batches or shards: it starts again", location(out))
        begun = note.get("items")
        markers = [PartWriter(out, n).marker for n in range(begun if isinstance(begun, int) else 0)]
        if is_mirrored(out):
            discard(markers)
    if note is not None or is_mirrored(out):
        for part in [*here(out).glob("*/part-*.parquet"), *here(out).glob("finished/*.json")]:
            part.unlink()
        path.unlink(missing_ok=True)
    write_json({"plan": plan, "items": len(items)}, path)


def adopt_item(out: Path, ordinal: int, earlier: Path, earlier_ordinal: int) -> bool:
    """Copy a finished item of another stream, so that it need not run; return whether it was there.

    Call `begin_stream` first: it removes the parts of other items.

    Args:
        out: Folder of the stream's tables and markers.
        ordinal: The item's place in the stream.
        earlier: Folder of the other stream.
        earlier_ordinal: The item's place there.

    Raises:
        StorageError: the disk refuses.
    """
    if is_mirrored(out):
        return False  # a copy through an object store costs as much as the work
    done, before = PartWriter(out, ordinal), PartWriter(earlier, earlier_ordinal)
    if done.finished() is not None:
        return True
    known = before.finished()
    if known is None:
        return False
    for name in known.rows:
        target = out / name / f"{done.stem}.parquet"
        with atomic_file(target) as partial:
            shutil.copyfile(fetch(earlier / name / f"{before.stem}.parquet"), partial)
    files = seals(out, [out / name / f"{done.stem}.parquet" for name in known.rows])
    write_json(Marker(rows=known.rows, files=files).model_dump(mode="json"), done.marker)
    return True


def _noted(path: Path) -> dict[str, Any] | None:
    """Return the note of the plan of a stream that was begun; an empty one where it is damaged."""
    try:
        note = json.loads(read_current(path))
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        return {}
    return note if isinstance(note, dict) else {}


def identity(item: Any) -> str | bytes:
    """Return an item as bytes that are equal in every process.

    Pickled settings are not, because they contain a set. Only tuples are searched for settings.
    """
    if isinstance(item, tuple):
        return digest(*(identity(part) for part in item))
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
    writers = [PartWriter(out, ordinal) for ordinal in range(len(items))]
    if is_mirrored(out):
        missing = _gather(writers)
    else:
        missing = [n for n, writer in enumerate(writers) if not writer.marker.exists()]
    if missing:
        message = (
            f"{len(missing)} of {len(items)} pieces of work under {out} never finished, the first "
            f"is number {missing[0]}; run the same command again"
        )
        raise LedgerError(message, code="work_unfinished", missing=missing)


def _gather(writers: Sequence[PartWriter]) -> list[int]:
    """Bring the parts of all items to this machine; return the items that are not finished."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        markers = list(pool.map(PartWriter.finished, writers))
    out = writers[0].out
    names = [name for marker in markers if marker is not None for name in marker.files]
    remove_others(out, out.glob("*/part-*.parquet"), names)
    return [ordinal for ordinal, marker in enumerate(markers) if marker is None]


def run_item(worker: Worker, item: Any, out: Path, ordinal: int) -> int:
    """Run one item, unless it is finished and undamaged, to parts and marker; return its rows.

    Args:
        worker: turns the item into groups of tables.
        item: what the worker is called with.
        out: folder of the stream's tables and markers.
        ordinal: the item's place in the stream, from 0; it names the parts and the marker.
    """
    writer = PartWriter(out, ordinal)
    with shard_of(out, ordinal):
        rows = writer.finished_rows()
        return writer.write(worker(item), worker) if rows is None else rows


def spent_seconds(out: Path) -> dict[str, float]:
    """Return the seconds that workers counted, by what they were spent on, over all items."""
    total: Counter[str] = Counter()
    for path in sorted((here(out) / "finished").glob("part-*.json")):
        total.update(Marker.model_validate_json(path.read_bytes()).seconds)
    return dict(total)


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
