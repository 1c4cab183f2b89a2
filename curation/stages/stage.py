"""What a stage is: settings that decide its output, and a run from upstream folders to its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from curation.ledger import Balance
from curation.recipe import Recipe
from medsift.execution import Executor


@dataclass(frozen=True, slots=True)
class Operator:
    """Time spent in one part of a stage, in seconds, and the rows it handled."""

    operator: str
    seconds: float
    rows: int


@dataclass(slots=True)
class Watch:
    """Rows handled by what is being timed."""

    rows: int


@dataclass(frozen=True, slots=True)
class StageContext:
    """Everything a running stage may use."""

    recipe: Recipe
    run_dir: Path
    folder: Path
    upstream: Mapping[str, Path]
    executor: Executor
    begin: Callable[[int | None, str], None]
    advance: Callable[[int], None]
    warn: Callable[[str], None]
    """Tells people at once what they should know before the stage goes on."""
    operators: list[Operator] = field(default_factory=list)

    @contextmanager
    def timed(self, operator: str, rows: int = 0) -> Iterator[Watch]:
        """Record the seconds of a part of the stage; `rows` may be set on the watch later."""
        watch = Watch(rows)
        start = time.perf_counter()
        yield watch
        self.operators.append(Operator(operator, time.perf_counter() - start, watch.rows))


@dataclass(frozen=True, slots=True)
class FinishedStage:
    """A stage's output folder, its row balance and its timings."""

    stage: str
    folder: Path
    fingerprint: str
    balance: Balance
    seconds: float
    reused: bool
    operators: tuple[Operator, ...]


class Stage(Protocol):
    """One step of a run.

    `run` writes `folder/samples/*.parquet` (rows kept) and `folder/decisions/*.parquet` (rows
    dropped or failed); anything further is the stage's own.
    """

    @property
    def name(self) -> str:
        """The design's word for the stage."""
        ...

    @property
    def version(self) -> int:
        """Raised when the output for equal settings changes."""
        ...

    def settings(self, recipe: Recipe, upstream: Mapping[str, Path]) -> Any:
        """JSON-able value that, with version and upstream, decides the output."""
        ...

    def run(self, context: StageContext) -> None:
        """Do the work."""
        ...
