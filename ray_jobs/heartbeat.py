"""Write a heartbeat while a command works in a run directory, and show the heartbeats of one."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Final, Self

from medsift import json_logs
from medsift.errors import MedSiftError, StorageError, UsageError
from medsift.progress import (
    Event,
    Listener,
    StageAdvanced,
    StageFinished,
    StageStarted,
    StepLine,
    TrainingBegun,
    TrialFinished,
)
from medsift.storage.heartbeat import (
    INTERVAL_SECONDS,
    Command,
    Condition,
    Heartbeat,
    State,
    read_heartbeats,
    write_heartbeat,
)
from medsift.storage.mirror import location
from ray_jobs.console import INTERRUPTED
from ray_jobs.job_config import submission_id
from ray_jobs.metrics import Metering

logger = logging.getLogger(__name__)
TERMINATED: Final = 128 + signal.SIGTERM
STALE: Final = 4
"""Exit status for a command that ceased without an end."""
CODES: Final[dict[Condition, int]] = {"running": 0, "finished": 0, "stale": STALE}


class Beating:
    """A listener that keeps a heartbeat while its block runs, and passes events on.

    The heartbeat begins with the first event: a command that is refused before it works leaves no
    sign in a directory where another may be at work.
    """

    def __init__(
        self,
        run_dir: Path,
        command: Command,
        listener: Listener,
        interval: float = INTERVAL_SECONDS,
    ) -> None:
        self.run_dir, self.listener = run_dir.absolute(), listener
        now = datetime.now(UTC)
        self.last = Heartbeat(
            command=command,
            state="running",
            started=now,
            time=now,
            interval=interval,
            host=socket.gethostname(),
            pid=os.getpid(),
            job=submission_id(),
        )
        self.thread: threading.Thread | None = None
        self.ended = threading.Event()
        self.lock = threading.Lock()
        self.ends_by_signal = False

    def __call__(self, event: Event) -> None:
        """Note what an event says, and pass it on."""
        match event:
            case StageStarted() | StageFinished():
                self._note(event.stage, 0 if isinstance(event, StageStarted) else event.rows_in)
            case StageAdvanced():
                self._note(event.stage, event.done)
            case TrainingBegun():
                self._note("train", event.resumed_step)
            case StepLine():
                self._note("train", event.step)
            case TrialFinished():
                self._note("trials", self.last.done + 1 if self.last.stage == "trials" else 1)
        self.listener(event)

    def __enter__(self) -> Self:
        """End the block at SIGTERM too, which says nothing by itself."""
        in_main = threading.current_thread() is threading.main_thread()
        self.ends_by_signal = in_main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        if self.ends_by_signal:
            signal.signal(signal.SIGTERM, _end_by_signal)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Write how the block ended, if it ever began."""
        if self.ends_by_signal and signal.getsignal(signal.SIGTERM) is _end_by_signal:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if self.thread is None:
            return
        self.ended.set()
        self.thread.join()
        state, exit_code, code = _end(error)
        self.last = self.last.model_copy(
            update={"state": state, "exit_code": exit_code, "error": code}
        )
        self._write()

    def _note(self, stage: str, done: int) -> None:
        json_logs.note(run=self.run_dir.name, stage=stage)
        with self.lock:
            changed = stage != self.last.stage
            self.last = self.last.model_copy(update={"stage": stage, "done": done})
        if self.thread is None:
            self.thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
            self._write()
            self.thread.start()
        elif changed:
            self._write()

    def _beat(self) -> None:
        while not self.ended.wait(self.last.interval):
            self._write()

    def _write(self) -> None:
        """Write the heartbeat; a disk that refuses it will stop the work itself, where it must."""
        with self.lock:
            self.last = self.last.model_copy(update={"time": datetime.now(UTC)})
            try:
                write_heartbeat(self.run_dir, self.last)
            except StorageError as error:
                logger.debug("no heartbeat: %s", error)


def beating(run_dir: Path, command: Command, listener: Listener) -> Beating:
    """Return a listener that keeps a heartbeat and publishes metrics while its block runs."""
    return Beating(run_dir, command, Metering(run_dir.absolute().name, command, listener))


def _end_by_signal(number: int, frame: FrameType | None) -> None:
    sys.exit(TERMINATED)


def _end(error: BaseException | None) -> tuple[State, int, str]:
    """Return state, exit status and error code of a block that ended with this error or none."""
    match error:
        case None:
            return "finished", 0, ""
        case KeyboardInterrupt():
            return "interrupted", INTERRUPTED, ""
        case SystemExit():
            return "interrupted", error.code if isinstance(error.code, int) else 1, ""
        case MedSiftError():
            return "failed", error.exit_code, error.code
    return "failed", 1, type(error).__name__


def run_facts(run_dir: Path) -> tuple[dict[str, Any], int]:
    """Return what the heartbeats of a run directory say, and an exit status that says how it is.

    What runs comes before what ended, and the newest first.

    Raises:
        UsageError: no command has left a heartbeat there.
    """
    now = datetime.now(UTC)
    beats = read_heartbeats(run_dir)
    if not beats:
        raise UsageError(
            f"no command has left a heartbeat in {location(run_dir)}: name the run directory of a "
            "command that began to work, or a job with --address",
            code="heartbeat_missing",
            path=location(run_dir),
        )
    beats.sort(key=lambda one: one.condition(now) != "running")
    first, *others = beats
    condition = first.condition(now)
    facts = {
        "run_dir": location(run_dir),
        "status": condition,
        "command": first.command,
        "stage": first.stage,
        "done": first.done,
        "started": first.started.isoformat(timespec="seconds"),
        "last_sign": first.time.isoformat(timespec="seconds"),
        "ago": f"{(now - first.time).total_seconds():,.0f} s",
        "host": first.host,
        "pid": first.pid,
        "job": first.job,
        "error": first.error,
        "others": ", ".join(f"{one.command} {one.condition(now)}" for one in others),
    }
    ended = first.exit_code if first.exit_code is not None else 1
    return facts, CODES.get(condition, ended)
