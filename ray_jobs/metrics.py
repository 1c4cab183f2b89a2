"""Publish what a run reports as metrics of Ray, which its Prometheus end-points serve.

`ray_jobs/grafana/medsift.json` shows them. Ray puts `ray_` in front of each name.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from medsift.progress import (
    Event,
    Listener,
    StageAdvanced,
    StageFinished,
    StageStarted,
    StageWarned,
    StepLine,
    TrialFinished,
)

Kind = Literal["gauge", "counter"]
TAGS: Final = ("run", "command")
"""The tags of every metric: the name of the run directory, and what works there."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric: its kind, what it measures, and its tags besides those that all have."""

    kind: Kind
    meaning: str
    tags: tuple[str, ...] = ()


METRICS: Final = {
    "medsift_stage_done": Metric("gauge", "Units of a stage that are done.", ("stage", "unit")),
    "medsift_stage_planned": Metric("gauge", "Units that a stage will do.", ("stage", "unit")),
    "medsift_stage_seconds": Metric("gauge", "Seconds that a finished stage took.", ("stage",)),
    "medsift_rows": Metric("gauge", "Rows of a finished stage by their fate.", ("stage", "fate")),
    "medsift_warnings": Metric("counter", "Warnings of stages.", ("stage",)),
    "medsift_training_step": Metric("gauge", "Last logged step of a training."),
    "medsift_training_loss": Metric("gauge", "Loss of that step."),
    "medsift_training_held_out_loss": Metric("gauge", "Newest loss on held-out samples."),
    "medsift_training_tokens_per_second": Metric("gauge", "Tokens a second, over all workers."),
    "medsift_training_mfu": Metric("gauge", "Share of the devices' arithmetic that was used."),
    "medsift_training_data_wait": Metric("gauge", "Share of the time that waited for data."),
    "medsift_trials": Metric("counter", "Finished trials of a study by outcome.", ("outcome",)),
}
FATES: Final = ("kept", "dropped", "failed")
STEP_FIELDS: Final = (*("step", "loss", "held_out_loss", "tokens_per_second", "mfu", "data_wait"),)


@dataclass(frozen=True, slots=True)
class Sample:
    """A value of a metric, or what is added to a counter."""

    name: str
    value: float
    tags: Mapping[str, str]


class Metering:
    """A listener that publishes events where Ray is connected, and passes all of them on."""

    def __init__(self, run: str, command: str, listener: Listener) -> None:
        self.listener = listener
        self.common = dict(zip(TAGS, (run, command), strict=True))
        self.units: dict[str, str] = {}
        self.made: dict[str, Any] = {}

    def __call__(self, event: Event) -> None:
        """Publish an event, and pass it on."""
        if isinstance(event, StageStarted):
            self.units[event.stage] = event.unit
        # Without Ray nobody would collect them, and Ray is not loaded for their sake.
        ray = sys.modules.get("ray")
        if ray is not None and ray.is_initialized():
            for sample in samples(event, self.units):
                self._publish(sample)
        self.listener(event)

    def _publish(self, sample: Sample) -> None:
        declared, tags = METRICS[sample.name], {**self.common, **sample.tags}
        if sample.name not in self.made:
            from ray.util.metrics import Counter, Gauge

            make: Any = Counter if declared.kind == "counter" else Gauge
            names = (*TAGS, *declared.tags)
            self.made[sample.name] = make(sample.name, declared.meaning, tag_keys=names)
        metric = self.made[sample.name]
        if declared.kind == "counter":
            metric.inc(sample.value, tags=tags)
        else:
            metric.set(sample.value, tags=tags)


def samples(event: Event, units: Mapping[str, str]) -> Iterator[Sample]:
    """Yield the values that an event has for metrics.

    Args:
        event: what happened.
        units: stage → unit in which it counts, of the stages that started.
    """
    match event:
        case StageStarted(total=total) if total is not None:
            yield Sample("medsift_stage_planned", total, _tags(event.stage, units))
        case StageAdvanced():
            yield Sample("medsift_stage_done", event.done, _tags(event.stage, units))
        case StageFinished():
            yield Sample("medsift_stage_seconds", event.seconds, {"stage": event.stage})
            for fate in FATES:
                tags = {"stage": event.stage, "fate": fate}
                yield Sample("medsift_rows", getattr(event, fate), tags)
        case StageWarned():
            yield Sample("medsift_warnings", 1, {"stage": event.stage})
        case StepLine():
            for field in STEP_FIELDS:
                value = getattr(event, field)
                if value is not None:
                    yield Sample(f"medsift_training_{field}", value, {})
        case TrialFinished():
            outcome = "failed" if event.error is not None else "done"
            yield Sample("medsift_trials", 1, {"outcome": outcome})


def _tags(stage: str, units: Mapping[str, str]) -> dict[str, str]:
    return {"stage": stage, "unit": units.get(stage, "")}
