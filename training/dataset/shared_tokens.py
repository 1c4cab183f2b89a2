"""Tokenise the samples of a training once for all its workers, in files mapped into memory.

Samples are cut into shards. Each worker tokenises every so-manieth of them, waits for the others,
and then opens all files: of these it reads the lengths, and the tokens of its own batches alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, overload

import numpy as np
import pyarrow as pa

from medsift.storage.atomic import atomic_file
from medsift.storage.mirror import discard, exists, fetch
from training.dataset.chat_labels import CHUNK, ChatEncoder, Encoded, Refused, Span
from training.dataset.samples import Sample
from training.loop.checkpoint import OTHER_STORAGE

TRAINING: Final = "training"
HELD_OUT: Final = "held_out"
MOST_SHARDS: Final = 64
_NUMBERS: Final = pa.list_(pa.int32())
TOKENS: Final = pa.schema(
    [(name, _NUMBERS) for name in ("ids", "starts", "stops", "pictures", "added")]
    + [("unlearned", pa.int32()), ("reason", pa.string()), ("detail", pa.string())]
)
"""An `Encoded` with its spans in three columns, or reason and detail of a `Refused`."""


class Workers(Protocol):
    """The workers of a training, which all make the same calls in the same order."""

    rank: int
    world_size: int

    def barrier(self) -> None:
        """Wait until every worker has arrived."""
        ...


class TokenFiles(Sequence[Encoded | Refused]):
    """The outcome of each sample, read from its shard when it is asked for."""

    def __init__(self, shards: Sequence[pa.Table], shard_rows: int) -> None:
        self.shards, self.shard_rows = shards, shard_rows

    def __len__(self) -> int:
        return sum(shard.num_rows for shard in self.shards)

    @overload
    def __getitem__(self, index: int) -> Encoded | Refused: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Encoded | Refused]: ...

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        number, row = divmod(index, self.shard_rows)
        if index < 0 or number >= len(self.shards) or row >= self.shards[number].num_rows:
            raise IndexError(index)
        return _outcome(self.shards[number], row)

    def __iter__(self) -> Iterator[Encoded | Refused]:
        for shard in self.shards:
            for row in range(shard.num_rows):
                yield _outcome(shard, row)


@dataclass(frozen=True, slots=True)
class SharedTokens:
    """The token files of one start of a training, in a folder that all its workers reach."""

    folder: Path
    workers: Workers

    def encode(self, split: str, encoder: ChatEncoder, samples: Sequence[Sample]) -> TokenFiles:
        """Return what became of each sample of a split, tokenised by all workers together.

        Files that a lost worker left are used. Raises ModelError, as `ChatEncoder.encode` does,
        and StorageError.
        """
        size = max(CHUNK, -(-len(samples) // MOST_SHARDS))
        starts = range(0, len(samples), size)
        paths = [_path(self.folder, split, number) for number in range(len(starts))]
        for number in range(self.workers.rank, len(paths), self.workers.world_size):
            if not exists(paths[number]):
                own = samples[starts[number] : starts[number] + size]
                _write(encoder.encode(own), paths[number])
        self.workers.barrier()
        return TokenFiles([_open(path) for path in paths], size)


def remove_tokens(folder: Path) -> None:
    """Remove the token files of an earlier start: its rows or its tokenizer may have differed."""
    discard(
        _path(folder, split, number)
        for split in (TRAINING, HELD_OUT)
        for number in range(MOST_SHARDS)
    )


def _path(folder: Path, split: str, number: int) -> Path:
    return folder / split / f"shard-{number:06d}.arrow"


def _write(outcomes: Iterator[Encoded | Refused], path: Path) -> None:
    table = pa.Table.from_pylist([_line(outcome) for outcome in outcomes], schema=TOKENS)
    with (
        atomic_file(path, OTHER_STORAGE, "training_storage_failed") as partial,
        pa.OSFile(str(partial), "wb") as file,
        pa.ipc.new_file(file, TOKENS) as writer,
    ):
        writer.write_table(table)


def _open(path: Path) -> pa.Table:
    with pa.memory_map(str(fetch(path))) as file:
        return pa.ipc.open_file(file).read_all()


def _line(outcome: Encoded | Refused) -> dict[str, Any]:
    if isinstance(outcome, Refused):
        return outcome._asdict()
    columns = zip(*outcome.spans, strict=True)
    line: dict[str, Any] = dict(zip(("starts", "stops", "pictures"), columns, strict=True))
    return line | {"ids": outcome.ids, "added": outcome.added, "unlearned": outcome.unlearned}


def _outcome(shard: pa.Table, row: int) -> Encoded | Refused:
    reason = shard["reason"][row].as_py()
    if reason is not None:
        return Refused(reason, shard["detail"][row].as_py())
    spans = zip(
        *(shard[name][row].as_py() for name in ("starts", "stops", "pictures")), strict=True
    )
    return Encoded(
        ids=np.asarray(shard["ids"][row].values),
        spans=tuple(Span(*span) for span in spans),
        added=tuple(shard["added"][row].as_py()),
        unlearned=shard["unlearned"][row].as_py(),
    )
