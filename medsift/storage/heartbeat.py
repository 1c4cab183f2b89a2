"""Keep files in a run directory that tell who works there, and since when nobody does.

Each command has a file there, which the process that works replaces at intervals. A file that has
not been replaced for long was left by a process that was killed, or by a machine that was lost.
"""

from __future__ import annotations

import os
import socket
from datetime import datetime
from pathlib import Path
from typing import Final, Literal, get_args

from pydantic import ValidationError

from medsift.config import Config
from medsift.storage.atomic import atomic_file
from medsift.storage.mirror import is_mirrored, read_current

FOLDER: Final = "heartbeats"
INTERVAL_SECONDS: Final = 15.0
MISSED: Final = 3
"""Intervals without a sign after which a process counts as gone."""

Command = Literal["curate", "select", "probe", "train", "evaluate", "study", "construct"]
State = Literal["running", "finished", "failed", "interrupted"]
Condition = Literal["running", "stale", "finished", "failed", "interrupted"]


class Heartbeat(Config):
    """What one process last said about its work in a run directory."""

    command: Command
    state: State
    stage: str = ""
    """The stage that runs, or the last one that ran."""
    done: int = 0
    """Units of that stage that are done."""
    started: datetime
    time: datetime
    """When this was written."""
    interval: float = INTERVAL_SECONDS
    """Seconds until the next sign is due."""
    host: str
    pid: int
    job: str = ""
    """Id of the Ray or SLURM job that runs the command; empty outside of one."""
    exit_code: int | None = None
    error: str = ""
    """Code of the error that ended the command."""

    def condition(self, now: datetime) -> Condition:
        """Return how the work is doing; `stale` where its process is gone without an end."""
        if self.state != "running":
            return self.state
        late = (now - self.time).total_seconds() > MISSED * self.interval
        here = self.host == socket.gethostname()
        return "stale" if late or (here and not _is_alive(self.pid)) else "running"


def write_heartbeat(run_dir: Path, heartbeat: Heartbeat) -> None:
    """Replace a command's heartbeat. Raises StorageError when the disk refuses."""
    with atomic_file(_path(run_dir, heartbeat.command)) as partial:
        partial.write_text(heartbeat.model_dump_json(indent=1), encoding="utf-8")


def read_heartbeats(run_dir: Path) -> list[Heartbeat]:
    """Return the heartbeats of a run directory, the newest first; damaged ones are left out."""
    read = (_read(_path(run_dir, command)) for command in get_args(Command))
    return sorted((one for one in read if one is not None), key=lambda one: one.time, reverse=True)


def _path(run_dir: Path, command: Command) -> Path:
    return run_dir / FOLDER / f"{command}.json"


def _read(path: Path) -> Heartbeat | None:
    # A run directory may come from anyone, and reading a pipe would wait for ever.
    if not (is_mirrored(path) or path.is_file()):
        return None
    try:
        return Heartbeat.model_validate_json(read_current(path))
    except (OSError, ValidationError):
        return None


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
