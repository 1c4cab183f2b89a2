"""The verdict of an improvement: gain, loss or neither, said in one sentence whatever it is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from curation.improve.curve_quotas import CurveQuotas
from curation.improve.judging import TestFigures, sure_cells, verdict
from curation.improve.rounds import LOOP, ONE_SHOT, PROPORTIONAL, STRATIFIED, Round
from medsift.statistics import difference, interval

CLUSTERS = list(range(200))


def figures(**right: float) -> dict[str, TestFigures]:
    """Test answers of arms that are right so often; what is right rarely stays right."""
    ease = np.random.default_rng(0).permutation(200) / 200
    usual = (ease < right[PROPORTIONAL]).astype(float)
    made = {}
    for arm, share in right.items():
        own = (ease < share).astype(float)
        gap = None if arm == PROPORTIONAL else difference(own, usual, CLUSTERS)
        made[arm] = TestFigures(cast("Round", None), interval(own, CLUSTERS), gap)
    return made


def curves(gain: float, low: float, high: float) -> CurveQuotas:
    return CurveQuotas(np.ones(1, np.int64), np.ones(1, np.int64), (None,), gain, low, high)


@pytest.mark.parametrize(
    ("loop", "words"),
    [(0.7, "a gain (+20.0"), (0.3, "a loss (-20.0"), (0.505, "no sure difference (+0.5")],
)
def test_gain_loss_and_neither_are_said(loop: float, words: str) -> None:
    arms = {PROPORTIONAL: 0.5, STRATIFIED: 0.5, ONE_SHOT: 0.6, LOOP: loop}
    said = verdict(figures(**arms), curves(0.02, 0.01, 0.03), 3)
    assert f"3 rounds the loop answers {100 * loop:.1f} % of 200 test samples" in said
    assert words in said
    assert "predicted to gain +2.0 points (+1.0 to +3.0), make a gain" in said
    assert said.count(".  ") == 0
    assert said.endswith(".")


def test_curves_without_a_sure_gain_keep_proportional_quotas_and_say_so() -> None:
    arms = {PROPORTIONAL: 0.5, STRATIFIED: 0.4, ONE_SHOT: 0.5, LOOP: 0.5}
    said = verdict(figures(**arms), curves(0.004, -0.01, 0.02), 1)
    assert "After 1 round the loop" in said
    assert "no sure gain (+0.4 points (-1.0 to +2.0))" in said
    assert "one-shot quotas are the proportional ones" in said


def test_cells_are_named_only_after_holm() -> None:
    each: Any = SimpleNamespace(
        selection="x.loop1",
        change=np.array([0.1, -0.2, 0.3]),
        adjusted=np.array([0.01, 0.04, 0.3]),
    )
    lines = sure_cells([each], ["a", "b", "c"])
    assert len(lines) == 2
    assert "lowers the validation error of a by 10.0" in lines[0]
    assert "raises the validation error of b by 20.0" in lines[1]
