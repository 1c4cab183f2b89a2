"""Describe a plan: its steps with what each costs, and what is not there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

WIDTH: Final = 15
FORMULAS: Final[Mapping[str, str]] = {
    "encode": "2 * P * tokens, one forward pass of each tower",
    "score": "2 * N * D for each view of a model's scorer",
    "full": "6 * N * D: 2 forward, 2 through activations, 2 for the gradients of all weights",
    "adapters": "4 * N * D: 2 forward, 2 through activations; gradients of few weights",
    "recomputed": "2 * N * D more, as activations are computed twice",
    "grpo": "2 * N * D to draw, 4 * N * D to learn; replies that are refilled come on top",
    "generate": "2 * N * D of prompts and replies",
    "requests": "calls of an endpoint; its own arithmetic is not counted",
}
"""How the arithmetic of each kind of step is estimated: N parameters, D tokens."""


@dataclass(frozen=True, slots=True)
class Hardware:
    """A device: its dense bfloat16 arithmetic, and the share of it that a run reaches."""

    name: str
    flops: float
    training: float = 0.35
    inference: float = 0.15


HARDWARE: Final = {
    one.name: one
    for one in (
        Hardware("a100", 312e12),
        Hardware("h100", 989e12),
        Hardware("h200", 989e12),
        Hardware("l40s", 362e12),
        Hardware("rtx4090", 165e12),
        # Two cores with AVX2, float32.
        Hardware("cpu2", 120e9, 0.4, 0.4),
    )
}


@dataclass(frozen=True, slots=True)
class Step:
    """One step: what it reads, computes and writes. None is what cannot be known yet."""

    name: str
    rows: int | None
    images: int | None
    tokens: int | None
    flops: float | None
    formula: str
    disk_bytes: int | None
    learns: bool = False

    def gpu_hours(self, hardware: Hardware) -> float | None:
        """Return the hours on one device."""
        if self.flops is None:
            return None
        share = hardware.training if self.learns else hardware.inference
        return self.flops / (hardware.flops * share) / 3600


@dataclass(slots=True)
class Plan:
    """What a recipe would do, step by step, and why it could not."""

    kind: str
    name: str
    hardware: Hardware
    steps: list[Step] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    assumed: list[str] = field(default_factory=list)

    @property
    def ready(self) -> bool:
        """Whether nothing is missing."""
        return not self.missing

    def assume(self, what: str) -> None:
        """Note once what an estimate rests on."""
        if what not in self.assumed:
            self.assumed.append(what)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-able values, sums included."""
        steps = [asdict(step) | {"gpu_hours": step.gpu_hours(self.hardware)} for step in self.steps]
        return {
            "kind": self.kind,
            "name": self.name,
            "ready": self.ready,
            "hardware": asdict(self.hardware),
            "steps": steps,
            "total": {
                key: sum(step[key] or 0 for step in steps)
                for key in ("flops", "gpu_hours", "disk_bytes")
            },
            "missing": self.missing,
            "assumed": self.assumed,
            "formulas": {step.formula: FORMULAS[step.formula] for step in self.steps},
        }

    def lines(self) -> Iterator[str]:
        """Yield the plan as text."""
        whole = self.to_dict()
        yield f"{self.kind} {self.name}"
        heads = ("step", "rows", "images", "tokens", "FLOPs", "GPU hours", "disk")
        yield f"{heads[0]:<28}" + "".join(f"{head:>{WIDTH}}" for head in heads[1:])
        for step in whole["steps"]:
            cells = [_count(step[key]) for key in ("rows", "images", "tokens")]
            cells += [_power(step["flops"]), _hours(step["gpu_hours"]), _size(step["disk_bytes"])]
            yield f"{step['name'][:27]:<28}" + "".join(f"{cell:>{WIDTH}}" for cell in cells)
        total = whole["total"]
        cells = [_power(total["flops"]), _hours(total["gpu_hours"]), _size(total["disk_bytes"])]
        yield f"{'total':<{28 + 3 * WIDTH}}" + "".join(f"{cell:>{WIDTH}}" for cell in cells)
        device = self.hardware
        yield (
            f"GPU hours: one {device.name} of {device.flops:.3g} FLOP/s, of which "
            f"{device.training:.0%} are reached in training and {device.inference:.0%} otherwise"
        )
        yield from (f"{name}: {words}" for name, words in whole["formulas"].items())
        yield from (f"assumed: {one}" for one in self.assumed)
        yield from (f"missing: {one}" for one in self.missing)
        yield "nothing is missing" if self.ready else f"{len(self.missing)} missing: it would fail"


def _count(value: int | None) -> str:
    return "?" if value is None else f"{value:,}"


def _power(value: float | None) -> str:
    return "?" if value is None else f"{value:.2e}" if value else "-"


def _hours(value: float | None) -> str:
    return (
        "?" if value is None else f"{value:,.2f}" if value >= 0.005 else "< 0.01" if value else "-"
    )


def _size(value: float | None) -> str:
    if value is None:
        return "?"
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= scale:
            return f"{value / scale:,.1f} {unit}"
    return f"{value:.0f} B" if value else "-"
