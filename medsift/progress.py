"""What a run tells its audience while it works; the command line and logs listen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class StageStarted:
    """A stage begins; `total` is the number of units it will report, if known."""

    stage: str
    total: int | None
    unit: str


@dataclass(frozen=True, slots=True)
class StageAdvanced:
    """`done` units of the stage are finished so far."""

    stage: str
    done: int


@dataclass(frozen=True, slots=True)
class StageFinished:
    """A stage ends with its row balance: rows_in = kept + dropped + failed."""

    stage: str
    rows_in: int
    kept: int
    dropped: int
    failed: int
    seconds: float
    reused: bool


@dataclass(frozen=True, slots=True)
class StageWarned:
    """Something that people should know before the stage goes on; it stops nothing."""

    stage: str
    message: str


Event = StageStarted | StageAdvanced | StageWarned | StageFinished


class Listener(Protocol):
    """Receives the events of a run, in order."""

    def __call__(self, event: Event) -> None:
        """Handle one event."""
        ...


def silent(event: Event) -> None:
    """Listen to nothing."""
