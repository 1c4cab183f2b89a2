"""Define a stage: the settings that decide its output, its tables, and the run that writes them."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from curation.ledger import Balance
from curation.mapped import scratch_folder
from curation.recipe import Recipe
from curation.stage_outputs import StageOutputs, Upstream
from medsift.errors import LedgerError
from medsift.execution import Executor, LocalExecutor, spent_seconds
from medsift.storage.mirror import is_mirrored


@dataclass(frozen=True, slots=True)
class Operator:
    """Time spent in one part of a stage, in seconds, and the rows it handled."""

    operator: str
    seconds: float
    rows: int


@dataclass(slots=True)
class Watch:
    """The number of rows that a timed part handled."""

    rows: int


@dataclass(frozen=True, slots=True)
class StageContext:
    """Everything a running stage may use."""

    recipe: Recipe
    run_dir: Path
    folder: Path
    outputs: StageOutputs
    """The tables that the stage declares, to be written."""
    upstream: Upstream
    """The finished stages before it."""
    executor: Executor
    begin: Callable[[int | None, str], None]
    advance: Callable[[int], None]
    warn: Callable[[str], None]
    """Reports at once what people should know before the stage continues."""
    open_run: Callable[[Path], Upstream]
    """Opens another finished run, such as that of a benchmark."""
    earlier: Callable[[], StageOutputs | None] = lambda: None
    """Returns this stage of the run before, whose results may save work; None without one."""
    operators: list[Operator] = field(default_factory=list)

    @property
    def scratch(self) -> Path:
        """The folder for what this stage needs and no later one."""
        return scratch_folder(self.outputs) / self.outputs.stage

    @property
    def nearby(self) -> Executor:
        """The executor for work on files of `scratch`: other machines see a shared disk alone."""
        return LocalExecutor() if is_mirrored(self.run_dir) else self.executor

    @contextmanager
    def timed(self, operator: str, rows: int = 0) -> Iterator[Watch]:
        """Record the seconds of a part of the stage; `rows` may be set on the watch later."""
        watch = Watch(rows)
        start = time.perf_counter()
        yield watch
        self.operators.append(Operator(operator, time.perf_counter() - start, watch.rows))

    def add_device_time(self, out: Path, rows: int, of: str = "") -> None:
        """Record what workers of a stream under `out` counted, as parts named after `of`.

        It is added up over workers, so that the sum may be more than the time of the stream.
        """
        for operator, seconds in sorted(spent_seconds(out).items()):
            self.operators.append(Operator(f"{of}{operator}", seconds, rows))


@dataclass(frozen=True, slots=True)
class FinishedStage:
    """A stage's tables, its row balance and its timings."""

    outputs: StageOutputs
    balance: Balance
    seconds: float
    reused: bool
    operators: tuple[Operator, ...]

    @property
    def stage(self) -> str:
        """Name of the stage."""
        return self.outputs.stage

    @property
    def fingerprint(self) -> str:
        """Its identity: digest of settings, version and everything upstream."""
        return self.outputs.fingerprint


@dataclass(frozen=True, slots=True)
class StagesDone:
    """Finished stages, before anything is published."""

    run_id: str
    """Identity of the recipe applied to its input, as the files are now and where they are."""
    stages: tuple[FinishedStage, ...]
    problem: LedgerError | None = None
    """The reason why the run does not count; None where it does."""
    warnings: tuple[str, ...] = ()
    """Limits of the result that people should know."""

    @property
    def upstream(self) -> Upstream:
        """The tables of the stages, for example `done.upstream.dedup.groups`."""
        return Upstream([stage.outputs for stage in self.stages])


class Stage(ABC):
    """One step of a run.

    `run` writes the tables that `outputs` declares, and `decisions` for rows dropped or failed.
    The first stage declares `samples`; no later one writes them again (`curation.current_samples`).
    """

    name: ClassVar[str]
    """The name of the stage, by which its folder and its tables are found."""
    version: ClassVar[int]
    """Raised when the output for equal settings changes."""
    outputs: ClassVar[Mapping[str, pa.Schema]]
    """Name and schema of its tables; `decisions` is every stage's."""
    decides: ClassVar[bool] = True
    """Whether it may drop or change samples."""

    def applies(self, recipe: Recipe) -> bool:
        """Return whether the recipe asks for the stage; one that it does not is left out."""
        return True

    @abstractmethod
    def settings(self, recipe: Recipe, upstream: Upstream) -> Any:
        """Return a JSON-able value that, with version and upstream, decides the output."""

    @abstractmethod
    def run(self, context: StageContext) -> None:
        """Write the outputs."""
