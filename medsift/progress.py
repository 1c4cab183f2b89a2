"""Define the events that a run reports while it works, and the listener that receives them.

The class name of an event, in lower case with underscores, is its name in JSON: renaming a class
changes what programs read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class StageStarted:
    """A stage starts; `total` is the number of units it will report, if known."""

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
    """The user should know something before the stage continues; nothing stops."""

    stage: str
    message: str


@dataclass(frozen=True, slots=True)
class RunFinished:
    """A curation ends; its results are in these places."""

    run_id: str
    run_dir: Path
    manifest: Path
    report: Path
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TrainingBegun:
    """A training starts or resumes; `example` is a marked chat, `notes` limit the result.

    `memory` is what it is estimated to need of each worker's device, by part, in MiB.
    """

    training_id: str
    trained_on: int
    dropped: int
    held_out: int
    steps: int
    resumed_step: int
    example: str
    notes: tuple[str, ...] = ()
    memory: Mapping[str, float] | None = None


@dataclass(frozen=True, slots=True)
class StepLine:
    """One logged step: the columns of `training_steps`, and how long it waited for data.

    `data_wait` is a share of the time since the last line. An interrupted and resumed training has
    the same lines as an uninterrupted one, except for times and memory.
    """

    step: int
    epoch: float
    loss: float
    held_out_loss: float | None
    learning_rate: float
    grad_norm: float
    samples: int
    tokens: int
    supervised_tokens: int
    seconds: float
    samples_per_second: float
    tokens_per_second: float
    mfu: float | None
    peak_memory_mb: float
    data_wait: float


@dataclass(frozen=True, slots=True)
class PolicyLine:
    """One step of policy optimisation: the columns of `policy_steps`.

    Shares and means are over the replies of the step, of all workers together.
    """

    step: int
    reward: float
    correct: float
    format: float
    overlong: float
    parsed: float
    cut: float
    reply_tokens: float
    contrast: float
    refills: int
    refused: int
    clipped: float
    blank_prompts: int
    blank_correct: float | None
    shown_correct: float | None
    generate_seconds: float
    learn_seconds: float
    generate_memory_mb: float
    learn_memory_mb: float


@dataclass(frozen=True, slots=True)
class PreferenceLine:
    """One step of preference optimisation: the columns of `preference_steps`.

    Means are over the pairs of the step, of all workers together.
    """

    step: int
    pairs: int
    margin: float
    accuracy: float
    chosen: float
    rejected: float


@dataclass(frozen=True, slots=True)
class TrainingFinished:
    """A training ends; `contaminated` is None where its samples were compared with no benchmark."""

    training_id: str
    run_id: str
    selection: str
    result: Path
    manifest: Path
    benchmarks: tuple[str, ...]
    contaminated: bool | None
    reused: bool


@dataclass(frozen=True, slots=True)
class TrialFinished:
    """A trial of a study ends; `reused` where it was finished before."""

    trial: str
    reused: bool
    error: str | None


@dataclass(frozen=True, slots=True)
class StudyFinished:
    """A study ends after so many trials, of which `failed` have no result."""

    study_id: str
    run_id: str
    manifest: Path
    page: Path
    trials: int
    failed: int


@dataclass(frozen=True, slots=True)
class Error:
    """The command stops: the error's class, message, code and values, and the exit status."""

    kind: str
    message: str
    exit_code: int
    code: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)


TrainingEvent = TrainingBegun | StepLine
Event = (
    StageStarted
    | StageAdvanced
    | StageWarned
    | StageFinished
    | RunFinished
    | TrainingEvent
    | TrainingFinished
    | TrialFinished
    | StudyFinished
    | Error
)


Listener = Callable[[Event], None]
"""Receives the events of a run, in order."""


def silent(event: Event) -> None:
    """Ignore an event."""


def count_rows(stage: str, listener: Listener) -> Callable[[int], None]:
    """Return a function that adds rows to those done and reports the sum as `StageAdvanced`."""
    done = 0

    def advance(rows: int) -> None:
        nonlocal done
        done += rows
        listener(StageAdvanced(stage, done))

    return advance
