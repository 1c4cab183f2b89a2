"""Say whether the replies of a training got better, and whether that needed the pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from medsift.arrays import Doubles

NORMAL_95: Final = 1.959964
LEAST_STEPS: Final = 6
"""Fewer steps have too few in a third for an interval."""


def verdict_of(lines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a verdict on a training from its lines of `policy_steps`, as JSON-able values.

    `gain` is the share of right replies in the last third of the steps minus that in the first,
    with a 95% interval over steps; `reliance` is, in the last third, the share of right replies
    with the picture minus that with a blank one, to the same prompts.
    """
    if len(lines) < LEAST_STEPS:
        return {"verdict": f"too few steps to tell ({len(lines)})", "gain": None, "reliance": None}
    third = len(lines) // 3
    first, last = lines[:third], lines[-third:]
    gain = _interval(_column(last, "correct"), _column(first, "correct"))
    watched = [line for line in last if line["blank_prompts"]]
    reliance = None
    if len(watched) > 1:
        lost = _column(watched, "shown_correct") - _column(watched, "blank_correct")
        reliance = _interval(lost, np.zeros(1))
    return {"verdict": _words(gain, reliance), "gain": gain, "reliance": reliance}


def margin_of(lines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return how far a training set right replies apart from wrong ones, as JSON-able values.

    `gain` is the mean margin of the last third of the steps minus that of the first, in nats, with
    a 95% interval over steps; `accuracy` is the share of the last third's pairs set apart rightly.
    """
    if len(lines) < LEAST_STEPS:
        return {"gain": None, "accuracy": None}
    third = len(lines) // 3
    first, last = lines[:third], lines[-third:]
    gain = _interval(_column(last, "margin"), _column(first, "margin"))
    return {"gain": gain, "accuracy": float(_column(last, "accuracy").mean())}


def _column(lines: Sequence[Mapping[str, Any]], name: str) -> Doubles:
    return np.array([line[name] for line in lines], np.float64)


def _interval(values: Doubles, others: Doubles) -> dict[str, float]:
    """Return the difference of two means, with its 95% interval."""
    difference = float(values.mean() - others.mean())
    variance = sum(float(one.var(ddof=1)) / len(one) for one in (values, others) if len(one) > 1)
    margin = NORMAL_95 * variance**0.5
    return {"value": difference, "low": difference - margin, "high": difference + margin}


def _words(gain: Mapping[str, float], reliance: Mapping[str, float] | None) -> str:
    if gain["low"] <= 0.0:
        return "no gain: the interval of the change includes zero or less"
    if reliance is None:
        return "a gain; whether it needs the picture was not watched"
    if reliance["low"] > 0.0:
        return "a gain, and right replies need the picture"
    return "a gain, but replies with a blank picture are not shown to be worse"
