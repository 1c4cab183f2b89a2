"""What a training says: a bar with its loss for people, JSON objects for machines.

As in `console`, people read stderr and machines (`--log-json`) read stdout: `training_begun`, one
`step_line` a logged step, and at the end `training_finished` or `error`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Final, Protocol, TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from ray_jobs.console import PLAIN_SECONDS, JsonAudience

if TYPE_CHECKING:
    from training.logs import StepLine
    from training.run import Trained, TrainingBegun

FIGURES: Final = "loss {loss:.4f}, rate {learning_rate:.2e}, {tokens_per_second:,.0f} tokens/s"


class TrainingAudience(Protocol):
    """Hears a training, and how it ends."""

    def __call__(self, event: TrainingBegun | StepLine) -> None:
        """Handle one event."""
        ...

    def finished(self, trained: Trained) -> None:
        """Hear where the result is."""
        ...

    def failed(self, error: BaseException, exit_code: int) -> None:
        """Hear that it stopped; the command line prints the error line itself."""
        ...


class HumanTraining:
    """One chat as the model learns it, then a bar; without a terminal a line now and then."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.console = Console(
            file=stream, stderr=stream is None, highlight=False, soft_wrap=True, markup=False
        )
        self.bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}", markup=False),
            TimeRemainingColumn(compact=True),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self.task: TaskID | None = None
        self.steps = 0
        self.spoke = -PLAIN_SECONDS

    def __call__(self, event: TrainingBegun | StepLine) -> None:
        """Draw one event."""
        from training.run import TrainingBegun

        if isinstance(event, TrainingBegun):
            self._begin(event)
        else:
            self._advance(event)

    def finished(self, trained: Trained) -> None:
        """Take the bar away; where everything is goes to stdout."""
        self.bar.stop()

    def failed(self, error: BaseException, exit_code: int) -> None:
        """Take the bar away; the error line follows."""
        self.bar.stop()

    def _begin(self, event: TrainingBegun) -> None:
        self.steps = event.steps
        if self.task is not None:
            self.console.print(f"workers were replaced; on from step {event.resumed_step}")
            self.bar.update(self.task, completed=event.resumed_step)
            return
        parts = [f"{event.training_id}: {event.trained_on:,} samples, {event.steps:,} steps"]
        if event.held_out:
            parts.append(f"{event.held_out:,} held out")
        if event.dropped:
            parts.append(f"{event.dropped:,} dropped (table training_drops)")
        if event.resumed_step:
            parts.append(f"going on from step {event.resumed_step:,}")
        self.console.print(", ".join(parts))
        for note in event.notes:
            self.console.print(f"note: {note}")
        self.console.print("one of them, what is learned between ⟦ and ⟧:")
        self.console.print(event.example)
        self.task = self.bar.add_task(
            "step", total=event.steps, completed=event.resumed_step, figures=""
        )
        self.bar.start()

    def _advance(self, line: StepLine) -> None:
        figures = FIGURES.format(
            loss=line.loss,
            learning_rate=line.learning_rate,
            tokens_per_second=line.tokens_per_second,
        )
        if self.task is not None:
            self.bar.update(self.task, completed=line.step, figures=figures)
        if line.held_out_loss is not None:
            self.console.print(f"step {line.step:,}: held-out loss {line.held_out_loss:.4f}")
        if self.bar.disable and time.monotonic() - self.spoke > PLAIN_SECONDS:
            self.spoke = time.monotonic()
            self.console.print(f"step {line.step:,} of {self.steps:,}: {figures}")


class JsonTraining:
    """One JSON object a line; every one has `event` and `time` (UTC, ISO 8601)."""

    def __init__(self, stream: TextIO) -> None:
        self.json = JsonAudience(stream)

    def __call__(self, event: TrainingBegun | StepLine) -> None:
        """Write one event."""
        self.json.tell(event)

    def finished(self, trained: Trained) -> None:
        """Write `training_finished` with the places of the results."""
        training = trained.training
        told = {
            "training_id": training.training_id,
            "run_id": training.run_id,
            "selection": training.selection,
            "result": str(training.result),
            "manifest": str(training.manifest),
            "benchmarks": list(training.verdict.benchmarks),
            "contaminated": training.verdict.contaminated,
            "reused": trained.reused,
        }
        self.json.write("training_finished", told)

    def failed(self, error: BaseException, exit_code: int) -> None:
        """Write `error` with its class, message and exit code."""
        self.json.failed(error, exit_code)


@contextmanager
def training_audience(log_json: bool) -> Iterator[TrainingAudience]:
    """The listener that the command line asks for."""
    listener = JsonTraining(sys.stdout) if log_json else HumanTraining()
    try:
        # Whatever a library prints must not land among the results.
        with redirect_stdout(sys.stderr):
            yield listener
    finally:
        if isinstance(listener, HumanTraining):
            listener.bar.stop()
