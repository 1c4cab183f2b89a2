"""Show the progress of a command: lines and a bar for people, JSON objects for machines.

People read stderr. Machines (`--log-json`) read stdout, which then has nothing but one JSON object
per line: an event of `medsift.progress` under the name of its class, and at the end of a command
that fails `error`.
"""

from __future__ import annotations

import json
import re
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Final, Self, TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from medsift.errors import MedSiftError
from medsift.progress import (
    Error,
    Event,
    Listener,
    RunFinished,
    StageAdvanced,
    StageFinished,
    StageStarted,
    StageWarned,
    StepLine,
    TrainingBegun,
    TrialFinished,
)
from medsift.storage.mirror import with_urls
from medsift.text import escaped
from ray_jobs.console import INTERRUPTED, one_line, shown

PLAIN_SECONDS = 30.0
"""Seconds between two lines about unfinished work where there is no terminal."""
HEADER: Final = f"{'stage':<14}{'in':>11}{'kept':>11}{'dropped':>11}{'failed':>9}{'seconds':>10}"
STEP_FIGURES: Final = "loss {loss:.4f}, rate {learning_rate:.2e}, {tokens_per_second:,.0f} tokens/s"

MEMORY: Final = (
    "memory, estimated in MiB: {learn:,.0f} to learn, {generate:,.0f} to generate, of {device:,.0f}"
    " (weights {weights:,.0f}, gradients {gradients:,.0f}, optimiser {optimiser:,.0f}, "
    "activations {activations:,.0f}, logits {logits:,.0f}, cache {cache:,.0f})"
)


@contextmanager
def announced(log_json: bool) -> Iterator[Listener]:
    """Yield the listener that the command line asks for, and report to it how the block fails.

    What is raised passes on: the command line prints the error line and sets the exit status.
    """
    results = sys.stdout
    # What a library prints must not come between the JSON lines, nor among the results.
    with redirect_stdout(sys.stderr), ExitStack() as stack:
        listener: Listener = (
            JsonLinesView(results) if log_json else stack.enter_context(TerminalView())
        )
        try:
            yield listener
        except MedSiftError as error:
            kind, message = type(error).__name__, one_line(error)
            listener(Error(kind, message, error.exit_code, error.code, error.values))
            raise
        except KeyboardInterrupt as error:
            listener(Error(type(error).__name__, one_line(error), INTERRUPTED, "interrupted"))
            raise


class _Count(ProgressColumn):
    """The units finished so far, and the number of all where it is known."""

    def render(self, task: Task) -> Text:
        total = "" if task.total is None else f"/{int(task.total):,}"
        return Text(f"{int(task.completed):,}{total} {task.fields['unit']}".rstrip())


class _Speed(ProgressColumn):
    """Units per second, or the figures of a training's last step."""

    def render(self, task: Task) -> Text:
        if task.fields.get("figures") is not None:
            return Text(task.fields["figures"])
        return Text("" if task.speed is None else f"{task.speed:,.0f}/s", style="dim")


class TerminalView:
    """Draw a bar on a terminal while work is unfinished, and print a line for what is finished."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.console = Console(
            file=stream, stderr=stream is None, highlight=False, soft_wrap=True, markup=False
        )
        self.bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description:<13}", markup=False),
            BarColumn(bar_width=24),
            _Count(),
            _Speed(),
            TimeRemainingColumn(compact=True),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self.task: TaskID | None = None
        self.unit = ""
        self.steps = 0
        self.started = self.last_line = time.monotonic()
        self.header_due = True

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.stop()

    def __call__(self, event: Event) -> None:
        """Draw one event."""
        match event:
            case StageStarted():
                self._remove_bar()
                self.unit, self.last_line = event.unit, time.monotonic()
                self.task = self.bar.add_task(event.stage, total=event.total, unit=event.unit)
            case StageAdvanced():
                self._advance_stage(event)
            case StageWarned():
                self._print_warning(f"{event.stage}: {event.message}")
            case StageFinished():
                self._remove_bar()
                self._print_stage(event)
            case RunFinished():
                self._remove_bar()
                self._print_run(event)
            case TrainingBegun():
                self._begin_training(event)
            case StepLine():
                self._advance_training(event)
            case TrialFinished(error=None):
                self.console.print(f"{event.trial}{'  reused' if event.reused else ''}")
            case TrialFinished():
                self.console.print(Text(f"{event.trial} failed: {event.error}", "red"))
            case _:  # A result goes to stdout, an error line follows: both without a bar.
                self._remove_bar()

    def _remove_bar(self) -> None:
        if self.task is not None:
            self.bar.remove_task(self.task)
            self.task = None

    def _line_is_due(self) -> bool:
        """Return whether it is time for a line about unfinished work, and note that it is given."""
        due = self.bar.disable and time.monotonic() - self.last_line > PLAIN_SECONDS
        if due:
            self.last_line = time.monotonic()
        return due

    def _print_warning(self, message: str) -> None:
        self.console.print(Text().append("warning: ", "yellow").append(escaped(message)))

    def _advance_stage(self, event: StageAdvanced) -> None:
        if self.task is not None:
            self.bar.update(self.task, completed=event.done)
        if self._line_is_due():
            self.console.print(f"{event.stage}: {event.done:,} {self.unit} so far")

    def _print_stage(self, event: StageFinished) -> None:
        if self.header_due:
            self.console.print(Text(HEADER, style="dim"))
            self.header_due = False
        line = Text(f"{event.stage:<14}{event.rows_in:>11,}{event.kept:>11,}")
        line.append(f"{event.dropped:>11,}", "yellow" if event.dropped else "")
        line.append(f"{event.failed:>9,}", "red" if event.failed else "")
        line.append(f"{event.seconds:>10.1f}")
        if event.reused:
            line.append("  reused", "dim")
        self.console.print(line)

    def _print_run(self, event: RunFinished) -> None:
        """Print where everything is, and a query to begin with."""
        seconds = time.monotonic() - self.started
        query = f'medsift query {shlex.quote(shown(event.run_dir))} "SELECT * FROM funnel"'
        self.console.print()
        for warning in event.warnings:
            self._print_warning(warning)
        for name, value in (
            ("run", f"{event.run_id}, {seconds:.1f} s"),
            ("run dir", shown(event.run_dir)),
            ("manifest", shown(event.manifest)),
            ("report", shown(event.report)),
            ("next", query),
        ):
            self.console.print(Text().append(f"{name:<10}", "dim").append(value))

    def _begin_training(self, event: TrainingBegun) -> None:
        self.steps = event.steps
        if self.task is not None:
            # Ray Train replaced lost workers; the example was printed when the training began.
            self.console.print(f"workers were replaced; resumed at step {event.resumed_step}")
            self.bar.update(self.task, completed=event.resumed_step)
            return
        parts = [f"{event.training_id}: {event.trained_on:,} samples, {event.steps:,} steps"]
        if event.held_out:
            parts.append(f"{event.held_out:,} held out")
        if event.dropped:
            parts.append(f"{event.dropped:,} dropped (table training_drops)")
        if event.resumed_step:
            parts.append(f"resumed at step {event.resumed_step:,}")
        self.console.print(", ".join(parts))
        if event.memory is not None:
            self.console.print(MEMORY.format(**event.memory))
        for note in event.notes:
            self.console.print(f"note: {note}")
        self.console.print("one sample, with the learned part between ⟦ and ⟧:")
        self.console.print(event.example)
        self.task = self.bar.add_task(
            "step", total=event.steps, completed=event.resumed_step, unit="", figures=""
        )
        # The first step gets a line at once: it shows that the training works at all.
        self.last_line = -PLAIN_SECONDS

    def _advance_training(self, event: StepLine) -> None:
        figures = STEP_FIGURES.format(**asdict(event))
        if self.task is not None:
            self.bar.update(self.task, completed=event.step, figures=figures)
        if event.held_out_loss is not None:
            self.console.print(f"step {event.step:,}: held-out loss {event.held_out_loss:.4f}")
        if self._line_is_due():
            self.console.print(f"step {event.step:,} of {self.steps:,}: {figures}")


class JsonLinesView:
    """Write one JSON object per event; every one has `event` and `time` (UTC, ISO 8601)."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def __call__(self, event: Event) -> None:
        """Write one event under the name of its class, `StageStarted` as `stage_started`."""
        name = re.sub(r"(?<!^)(?=[A-Z])", "_", type(event).__name__).lower()
        moment = datetime.now(UTC).isoformat(timespec="milliseconds")
        fields = {"event": name, "time": moment, **asdict(event)}
        self.stream.write(with_urls(json.dumps(fields, default=str)) + "\n")
        self.stream.flush()
