"""The sentence that a probe ends with, for what a probe can show."""

from __future__ import annotations

from typing import Any

import pytest

from curation.probe.verdict import verdict


def row(budget: float, low: float, high: float, **more: Any) -> dict[str, Any]:
    figures = {"efficiency": 1.8, "efficiency_low": 1.1, "efficiency_high": 2.9}
    return {
        "arm": "a",
        "budget": budget,
        "random_difference": (low + high) / 2,
        "random_low": low,
        "random_high": high,
        "non_inferiority": "inconclusive",
        "efficiency_beyond": None,
        **figures,
        **more,
    }


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (
            [row(0.1, 0.01, 0.05), row(0.3, -0.02, 0.03, non_inferiority="non-inferior")],
            "a beats random at 10 %, by 3.0 points (1.0 to 5.0); at 10 % one selected sample "
            "replaces 1.8 random ones (1.1 to 2.9); 30 % of the pool is enough to be within 2 "
            "points of all of it.",
        ),
        (
            [row(0.1, -0.05, -0.01), row(0.3, -0.08, -0.02)],
            "a loses to random at every budget, by 3.0 points (1.0 to 5.0) at 10 %; no budget is "
            "shown to be within 2 points of all data.",
        ),
        (
            [row(0.1, 0.01, 0.05, efficiency_beyond="above"), row(0.3, -0.05, -0.01)],
            "a beats random at 10 % and loses to it at 30 %; at 10 % one selected sample replaces "
            "at least 1.8 random ones (1.1 to 2.9); no budget is shown to be within 2 points of "
            "all data.",
        ),
        (
            [row(0.1, -0.02, 0.03), row(0.3, -0.01, 0.01)],
            "The probe does not tell a from random at any budget (intervals up to 5.0 points "
            "wide); no budget is shown to be within 2 points of all data.",
        ),
    ],
)
def test_the_verdict_says_what_the_intervals_show(rows: list, sentence: str) -> None:
    other = row(0.1, 0.2, 0.3) | {"arm": "b"}
    assert verdict([*reversed(rows), other], "a", 0.02) == sentence
