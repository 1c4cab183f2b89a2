"""What a run says: lines and a progress bar for people, JSON objects for machines.

People read stderr. Machines (`--log-json`) read stdout, which then holds nothing but one JSON
object per line: `stage_started`, `stage_advanced`, `stage_finished`, and at the end
`run_finished` or `error`.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shlex
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, TextIO

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

from medsift.progress import Event, StageAdvanced, StageFinished, StageStarted, StageWarned
from medsift.terminal import escaped

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from curation.pipeline import RunResult

PLAIN_SECONDS = 30.0
"""Seconds between two lines about a stage still at work, where there is no terminal."""
HEADER = f"{'stage':<14}{'in':>11}{'kept':>11}{'dropped':>11}{'failed':>9}{'seconds':>10}"


class Audience(Protocol):
    """A listener that is also told how the run ended."""

    def __call__(self, event: Event) -> None:
        """Handle one event."""
        ...

    def finished(self, result: RunResult) -> None:
        """Say where the run's results are."""
        ...

    def failed(self, error: BaseException, exit_code: int) -> None:
        """Say that the run stopped; the command line prints the error line itself."""
        ...


class _Count(ProgressColumn):
    """Units done, of how many."""

    def render(self, task: Task) -> Text:
        of = "" if task.total is None else f"/{int(task.total):,}"
        return Text(f"{int(task.completed):,}{of} {task.fields['unit']}")


class _Rate(ProgressColumn):
    """Units a second."""

    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:,.0f}/s", style="dim")


class HumanAudience:
    """A bar for the stage at work on a terminal; a line for each finished stage everywhere."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.console = Console(
            file=stream, stderr=stream is None, highlight=False, soft_wrap=True, markup=False
        )
        self.bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description:<13}", markup=False),
            BarColumn(bar_width=24),
            _Count(),
            _Rate(),
            TimeRemainingColumn(compact=True),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self.task: TaskID | None = None
        self.unit = ""
        self.spoke = time.monotonic()
        self.header_due = True
        self.began = time.monotonic()

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.bar.stop()

    def __call__(self, event: Event) -> None:
        """Draw one event."""
        match event:
            case StageStarted():
                self._clear()
                self.unit, self.spoke = event.unit, time.monotonic()
                self.task = self.bar.add_task(event.stage, total=event.total, unit=event.unit)
            case StageAdvanced():
                self._advance(event)
            case StageWarned():
                self._warning(f"{event.stage}: {event.message}")
            case StageFinished():
                self._clear()
                self._line(event)

    def finished(self, result: RunResult) -> None:
        """Print where everything is, and a query to begin with."""
        self._clear()
        seconds = time.monotonic() - self.began
        query = f'medsift query {shlex.quote(shown(result.run_dir))} "SELECT * FROM funnel"'
        self.console.print()
        for warning in result.warnings:
            self._warning(warning)
        for name, value in (
            ("run", f"{result.run_id}, {seconds:.1f} s"),
            ("run dir", shown(result.run_dir)),
            ("manifest", shown(result.manifest)),
            ("report", shown(result.report)),
            ("next", query),
        ):
            self.console.print(Text().append(f"{name:<10}", "dim").append(value))

    def failed(self, error: BaseException, exit_code: int) -> None:
        """Take the bar away; the error line follows."""
        self._clear()

    def _warning(self, message: str) -> None:
        self.console.print(Text().append("warning: ", "yellow").append(escaped(message)))

    def _clear(self) -> None:
        if self.task is not None:
            self.bar.remove_task(self.task)
            self.task = None

    def _advance(self, event: StageAdvanced) -> None:
        if self.task is not None:
            self.bar.update(self.task, completed=event.done)
        if self.bar.disable and time.monotonic() - self.spoke > PLAIN_SECONDS:
            self.spoke = time.monotonic()
            self.console.print(f"{event.stage}: {event.done:,} {self.unit} so far")

    def _line(self, event: StageFinished) -> None:
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


class JsonAudience:
    """One JSON object a line; every one has `event` and `time` (UTC, ISO 8601)."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def __call__(self, event: Event) -> None:
        """Write one event."""
        self.tell(event)

    def finished(self, result: RunResult) -> None:
        """Write `run_finished` with the places of the results."""
        places = {name: str(getattr(result, name)) for name in ("run_dir", "manifest", "report")}
        warnings = list(result.warnings)
        self.write("run_finished", {"run_id": result.run_id, **places, "warnings": warnings})

    def failed(self, error: BaseException, exit_code: int) -> None:
        """Write `error` with its class, message and exit code."""
        fields = {"kind": type(error).__name__, "message": one_line(error), "exit_code": exit_code}
        self.write("error", fields)

    def tell(self, event: DataclassInstance) -> None:
        """Write any event under the name of its class."""
        self.write(_snake(type(event).__name__), asdict(event))

    def write(self, event: str, fields: Mapping[str, Any]) -> None:
        """Write one object."""
        moment = datetime.now(UTC).isoformat(timespec="milliseconds")
        self.stream.write(json.dumps({"event": event, "time": moment, **fields}) + "\n")
        self.stream.flush()


@contextmanager
def audience(log_json: bool) -> Iterator[Audience]:
    """The listener that the command line asks for."""
    if not log_json:
        with HumanAudience() as people:
            yield people
        return
    machine = JsonAudience(sys.stdout)
    # Whatever a library prints must not land between the JSON lines.
    with redirect_stdout(sys.stderr):
        yield machine


class _Notes(logging.Handler):
    """Log records as one plain line on whatever stderr is at the time (a bar redirects it)."""

    def emit(self, record: logging.LogRecord) -> None:
        sys.stderr.write(f"{record.levelname.lower()}: {self.format(record)}\n")


def show_logs(debug: bool) -> None:
    """Send the log to stderr: warnings, or with `debug` everything of ours as well."""
    root = logging.getLogger()
    if not any(isinstance(handler, _Notes) for handler in root.handlers):
        root.addHandler(_Notes())
    for room in ("medsift", "curation", "training", "evaluation", "ray_jobs"):
        logging.getLogger(room).setLevel(logging.DEBUG if debug else logging.WARNING)


def one_line(error: BaseException) -> str:
    """The message of an error without line breaks; its class where there is no message."""
    return " ".join(str(error).split()) or type(error).__name__


def print_error(message: str) -> None:
    """Write `error: …` as one line on stderr."""
    console = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)
    console.print(Text().append("error: ", "bold red").append(escaped(message)))


def shown(path: Path) -> str:
    """A path as a reader wants it: relative where it lies under the current directory."""
    absolute = path.absolute()
    here = Path.cwd()
    return str(absolute.relative_to(here)) if absolute.is_relative_to(here) else str(absolute)


@contextmanager
def closed_pipe_is_fine() -> Iterator[None]:
    """End quietly when the reader of stdout (`| head`) has seen enough."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes stdout once more on exit, which must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
