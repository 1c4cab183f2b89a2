"""The learning rate: rises, reaches one, falls to where it should."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

from training.loop.step import rate_factor
from training.recipe import OptimiserConfig


def factors(steps: int = 100, **settings) -> list[float]:
    config = OptimiserConfig(**settings)
    return [rate_factor(step, steps, config) for step in range(steps)]


def test_warm_up_rises_in_equal_parts_to_one():
    found = factors(warmup_ratio=0.1)
    assert found[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert max(found) == found[9] == found[10] == 1.0


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_it_falls_to_the_final_share(schedule: str):
    found = factors(schedule=schedule, warmup_ratio=0.0, min_lr_ratio=0.1)
    assert all(later < earlier for earlier, later in pairwise(found))
    assert found[0] == 1.0
    assert found[50] == pytest.approx(0.55)
    assert (
        rate_factor(
            100, 100, OptimiserConfig(schedule=schedule, warmup_ratio=0.0, min_lr_ratio=0.1)
        )
        == 0.1
    )
    if schedule == "cosine":
        assert found[25] == pytest.approx(0.1 + 0.9 * (1 + math.cos(math.pi / 4)) / 2)


def test_constant_stays():
    assert set(factors(schedule="constant", warmup_ratio=0.0)) == {1.0}
    assert factors(steps=1, warmup_ratio=0.03) == [1.0]
