"""Measure the cost of a step: rates, the share of the device's arithmetic, peak memory."""

from __future__ import annotations

import re
import resource
import sys
import time
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from training.model.sharding import without_adapters
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
    """Return the operations a second of a GPU by its name, None where it is not known."""
    return next((peak for pattern, peak in PEAKS.items() if re.search(pattern, name)), None)


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """Operations that a model needs, forward and backward; what is recomputed is not counted.

    For a token, two per weight forward (multiply and add), two for the gradient of what came in,
    two more for the gradient of weights that learn (Kaplan et al. 2020, arXiv 2001.08361). Of the
    language model only: the vision tower's are left out, so that `mfu` errs on the low side.
    """

    per_token: float
    per_supervised: float
    per_pair: float

    @classmethod
    def of(cls, model: Any) -> Arithmetic:
        """Count a model's linear layers."""
        inner = without_adapters(model)
        config = inner.config.get_text_config()
        learning = {id(weight) for weight in trained_parameters(model).values()}

        def operations(weight: Any) -> float:
            # A weight in 4 bits is stored two to a byte.
            count = weight.numel() * (2 if str(weight.dtype) == "torch.uint8" else 1)
            return float(count * (6 if id(weight) in learning else 4))

        # Biases and the vectors of norms cost too little to count.
        matrices = [weight for weight in inner.get_decoder().parameters() if weight.ndim == 2]
        # Embeddings are looked up, not multiplied.
        embedding = inner.get_input_embeddings().weight
        return cls(
            per_token=sum(operations(part) for part in matrices if part is not embedding),
            per_supervised=operations(inner.get_output_embeddings().weight),
            # Scores and weighted values, forward once and backward twice, under a causal mask.
            per_pair=3 * 2 * 2 * config.num_hidden_layers * config.hidden_size / 2,
        )

    def operations(self, tokens: int, supervised: int, pairs: int) -> float:
        """Return the operations of a step; `pairs` sums the squared lengths of its sequences."""
        return self.per_token * tokens + self.per_supervised * supervised + self.per_pair * pairs


class Lap(NamedTuple):
    """What some steps did, and the seconds that they took and waited for data."""

    seconds: float = 0.0
    waited: float = 0.0
    samples: int = 0
    tokens: int = 0
    operations: float = 0.0


class Clock:
    """Wall time since a training began, restarts included, and the steps since the last line."""

    def __init__(self, before: float) -> None:
        self.started = time.perf_counter() - before
        self.current = Lap()

    @property
    def seconds(self) -> float:
        """Wall time so far."""
        return time.perf_counter() - self.started

    def count(self, step: Lap) -> None:
        """Count a step."""
        pairs = zip(self.current, step, strict=True)
        self.current = Lap._make(before + now for before, now in pairs)

    def lap(self) -> Lap:
        """Return what was counted since the last call."""
        done, self.current = self.current, Lap()
        return done


def peak_memory_mb(device: str) -> float:
    """Return the most memory used so far, in MiB: of the device, on a CPU of the process."""
    import torch

    if device != "cpu":
        return torch.cuda.max_memory_allocated() / MEGABYTE
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # macOS counts in bytes, Linux in KiB.
    return peak / MEGABYTE if sys.platform == "darwin" else peak / 1024


def mfu(operations: float, seconds: float, workers: int, device: str) -> float | None:
    """Return the model FLOPs utilisation: operations a second as a share of the devices' peak.

    Args:
        operations: those of the model, of all workers together.
        seconds: wall time.
        workers: devices, one for each worker.
        device: `cpu` has no peak, nor has a GPU that is not known: None.
    """
    import torch

    if device == "cpu" or seconds <= 0:
        return None
    peak = device_peak(torch.cuda.get_device_name())
    return None if peak is None else operations / seconds / workers / peak
