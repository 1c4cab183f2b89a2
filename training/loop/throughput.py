"""Measure the cost of a step: rates, the share of the device's arithmetic, peak memory."""

from __future__ import annotations

import re
import resource
import sys
import time
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from training.model.trainable import trained_parameters

PEAKS: Final = {
    r"B200": 2250e12,
    r"H200|H100.*(SXM|HBM3)|GH200": 989e12,
    r"H100": 756e12,
    r"A100|A800": 312e12,
    r"L40S": 362e12,
    r"L4\b": 121e12,
    r"A10G?\b": 125e12,
    r"RTX 4090": 165e12,
    r"RTX 3090": 71e12,
}
"""Dense bfloat16 operations a second by the makers' data sheets; the first fitting name counts."""

MEGABYTE: Final = 1 << 20


def device_peak(name: str) -> float | None:
    """Operations a second of a GPU by its name, None where it is not known."""
    return next((peak for pattern, peak in PEAKS.items() if re.search(pattern, name)), None)


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """Operations that a model needs, forward and backward; what is recomputed is not counted.

    For a token, two a weight forward (multiply and add), two for the gradient of what came in,
    two more for the gradient of weights that learn (Kaplan et al. 2020, arXiv 2001.08361). Of the
    language model only: the vision tower's are left out, so that `mfu` errs on the low side.
    """

    per_token: float
    per_supervised: float
    per_pair: float

    @classmethod
    def of(cls, model: Any) -> Arithmetic:
        """Count a model's linear layers."""
        inner = model.get_base_model() if hasattr(model, "get_base_model") else model
        decoder, head = inner.get_decoder(), inner.get_output_embeddings()
        config = inner.config.get_text_config()
        learns = {id(part) for part in trained_parameters(model).values()}
        weights = [part for part in decoder.parameters() if part.ndim == 2]
        embedding = inner.get_input_embeddings().weight
        return cls(
            per_token=sum(_needed(part, learns) for part in weights if part is not embedding),
            per_supervised=_needed(head.weight, learns),
            per_pair=3 * 2 * 2 * config.num_hidden_layers * config.hidden_size / 2,
        )

    def operations(self, tokens: int, supervised: int, pairs: int) -> float:
        """Operations of a step; `pairs` is the sum of squared lengths of its sequences."""
        return self.per_token * tokens + self.per_supervised * supervised + self.per_pair * pairs


def _needed(weight: Any, learns: set[int]) -> float:
    # A weight in 4 bits is stored two to a byte.
    count = weight.numel() * (2 if str(weight.dtype) == "torch.uint8" else 1)
    return float(count * (6 if id(weight) in learns else 4))


class Lap(NamedTuple):
    """What steps since the last line did, and the seconds that they took and waited for data."""

    seconds: float = 0.0
    waited: float = 0.0
    samples: int = 0
    tokens: int = 0
    operations: float = 0.0


class Clock:
    """Wall time since a training began, restarts included, and what was done in the last of it."""

    def __init__(self, before: float) -> None:
        self.started = time.perf_counter() - before
        self.now = Lap()

    @property
    def seconds(self) -> float:
        """Wall time so far."""
        return time.perf_counter() - self.started

    def did(
        self, seconds: float, waited: float, samples: int, tokens: int, operations: float
    ) -> None:
        """Count a step."""
        self.now = Lap(
            self.now.seconds + seconds,
            self.now.waited + waited,
            self.now.samples + samples,
            self.now.tokens + tokens,
            self.now.operations + operations,
        )

    def lap(self) -> Lap:
        """What was counted since the last call."""
        done, self.now = self.now, Lap()
        return done


def peak_memory_mb(device: str) -> float:
    """Most memory held so far, in MiB: of the device, on a CPU of the process."""
    import torch

    if device != "cpu":
        return torch.cuda.max_memory_allocated() / MEGABYTE
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / MEGABYTE if sys.platform == "darwin" else most / 1024


def mfu(operations: float, seconds: float, workers: int, device: str) -> float | None:
    """Model operations a second as a share of what the devices could do; None where unknown."""
    import torch

    if device == "cpu" or seconds <= 0:
        return None
    peak = device_peak(torch.cuda.get_device_name())
    return None if peak is None else operations / seconds / workers / peak
