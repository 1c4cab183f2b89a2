"""Look at the test data once, after the last round, and say in words what they show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from curation.improve.curve_quotas import CurveQuotas
from curation.improve.learner import Learner
from curation.improve.parts import TEST, TRAIN, Material
from curation.improve.rounds import LOOP, ONE_SHOT, PROPORTIONAL, STRATIFIED, Round, Rounds
from medsift.errors import UsageError
from medsift.statistics import Difference, Estimate, difference, interval

ARMS: Final = (PROPORTIONAL, STRATIFIED, ONE_SHOT, LOOP)


@dataclass(frozen=True, slots=True)
class TestFigures:
    """What the last selection of an arm teaches, on test data: accuracy, and less proportional.

    `gap` is None for proportional quotas, and for an arm that selected the very same samples.
    """

    __test__ = False  # no test of pytest's

    round: Round
    accuracy: Estimate
    gap: Difference | None


def judge_on_test(material: Material, learner: Learner, rounds: Rounds) -> dict[str, TestFigures]:
    """Return the figures of each arm's last selection.

    Args:
        material: training part and test data.
        learner: as in the rounds, for this material.
        rounds: those of the development.

    Raises:
        UsageError: no sample of the test data can be asked about.
    """
    train, tested = material.rows(TRAIN), material.rows(TEST)
    asked = tested[learner.askable[tested]]
    if not len(asked):
        raise UsageError(
            "no sample of the test data has an answer that the learner can be asked about; name "
            "other test data",
            code="probe_nothing_to_ask",
        )
    cluster = np.unique(material.group[asked], return_inverse=True)[1].tolist()
    last = {arm: rounds.last(arm) for arm in ARMS}
    usual = set(last[PROPORTIONAL].chosen.selection.order.tolist())
    right = {
        arm: 1.0 - learner.wrong(each.selection, train[each.chosen.selection.order], asked)
        for arm, each in last.items()
    }
    return {
        arm: TestFigures(
            each,
            interval(right[arm], cluster),
            difference(right[arm], right[PROPORTIONAL], cluster)
            if set(each.chosen.selection.order.tolist()) != usual
            else None,
        )
        for arm, each in last.items()
    }


def verdict(figures: dict[str, TestFigures], curves: CurveQuotas, rounds: int) -> str:
    """Return what the improvement shows, in one plain sentence, whatever it is."""
    loop, usual = figures[LOOP], figures[PROPORTIONAL]
    parts = [
        f"After {rounds} round{'s' if rounds > 1 else ''} the loop answers "
        f"{_percent(loop.accuracy.value)} of {loop.accuracy.n:,} test samples rightly, and "
        f"proportional quotas {_percent(usual.accuracy.value)}: {_gap(loop.gap)}",
        f"equal quotas make {_gap(figures[STRATIFIED].gap)}",
    ]
    gain = f"{100 * curves.gain:+.1f} points ({100 * curves.low:+.1f} to {100 * curves.high:+.1f})"
    if curves.worthwhile:
        parts.append(
            f"one-shot quotas by learning curves, predicted to gain {gain}, make "
            f"{_gap(figures[ONE_SHOT].gap)}"
        )
    else:
        parts.append(
            f"learning curves predict no sure gain ({gain}), so that one-shot quotas are the "
            "proportional ones"
        )
    return "; ".join(parts) + "."


def sure_cells(rounds: Sequence[Round], cells: Sequence[str]) -> list[str]:
    """Return a line for each cell that a round changed, after Holm over rounds and cells."""
    lines = []
    for each in rounds:
        for place in np.flatnonzero(np.nan_to_num(each.adjusted, nan=1.0) < 0.05).tolist():
            verb = "lowers" if each.change[place] > 0 else "raises"
            lines.append(
                f"{each.selection} {verb} the validation error of {cells[place]} by "
                f"{100 * abs(each.change[place]):.1f} points (p {each.adjusted[place]:.3f} after "
                "Holm)"
            )
    return lines


def _percent(share: float | None) -> str:
    return "none" if share is None else f"{100 * share:.1f} %"


def _gap(gap: Difference | None) -> str:
    if gap is None:
        return "no difference, as the samples are the same"
    if gap.value is None or gap.low is None or gap.high is None:
        return "a difference that a single group cannot tell"
    kind = "no sure difference"
    if gap.low > 0.0:
        kind = "a gain"
    elif gap.high < 0.0:
        kind = "a loss"
    return f"{kind} ({100 * gap.value:+.1f} points, {100 * gap.low:+.1f} to {100 * gap.high:+.1f})"
