"""The learning rate, as a function of the step alone: nothing to store, nothing to resume."""

from __future__ import annotations

import math

from training.recipe import OptimiserConfig


def rate_factor(step: int, steps: int, config: OptimiserConfig) -> float:
    """Share of the learning rate at a step, from 0, of `steps`.

    Rises in equal parts over the warm-up, reaches 1, then falls to `config.min_lr_ratio`: by half a
    cosine (Loshchilov & Hutter 2017, arXiv 1608.03983), in a line, or not at all.
    """
    warm = math.ceil(config.warmup_ratio * steps)
    if step < warm:
        return (step + 1) / warm
    passed = (step - warm) / max(1, steps - warm)
    left = {"cosine": 0.5 * (1.0 + math.cos(math.pi * passed)), "linear": 1.0 - passed}
    return config.min_lr_ratio + (1.0 - config.min_lr_ratio) * left.get(config.schedule, 1.0)
