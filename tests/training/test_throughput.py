"""Operations against torch's own count of a forward and backward pass, and rates."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from tests.training.conftest import recipe
from training.loop.throughput import Arithmetic, Clock, Lap, device_peak
from training.model.base_model import load_base
from training.model.trainable import prepare_model


@pytest.mark.parametrize("full", [True, False])
def test_operations_are_those_that_torch_counts(llama: Path, full: bool):
    made = recipe(Path("run"), llama, lora={"full": full})
    base = load_base(made.base, "float32", full)
    model = prepare_model(base, made)
    tokens = 64
    ids = torch.arange(tokens)[None] % 300
    with FlopCounterMode(display=False) as counter:
        model(input_ids=ids, use_cache=False).logits.sum().backward()
    expected = Arithmetic.of(model).operations(tokens, tokens, tokens**2)
    # Torch counts the whole square of attention, of which half is needed.
    assert expected == pytest.approx(counter.get_total_flops(), rel=0.15)


def test_known_devices_have_a_peak():
    assert device_peak("NVIDIA H200") == device_peak("NVIDIA H100 80GB HBM3") == 989e12
    assert device_peak("NVIDIA A100-SXM4-80GB") == 312e12
    assert device_peak("NVIDIA L4") == 121e12
    assert device_peak("NVIDIA L40S") == 362e12
    assert device_peak("some other") is None


def test_a_lap_sums_the_steps_since_the_last():
    clock = Clock(100.0)
    clock.count(Lap(1.0, 0.25, 4, 40, 1e6))
    clock.count(Lap(3.0, 0.25, 4, 60, 1e6))
    assert clock.lap() == Lap(4.0, 0.5, 8, 100, 2e6)
    assert clock.lap() == Lap()
    assert 100.0 <= clock.seconds < 160.0
