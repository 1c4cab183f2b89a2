from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from curation.phantoms import scorecard
from curation.phantoms.defects import COPIES, TRUTH, PhantomPlan, plan_set
from tests.expect import raises_code

Fate = dict[int, tuple[str, str | None]]


@pytest.fixture(scope="module")
def plan() -> PhantomPlan:
    return plan_set(60, seed=2)


@pytest.fixture(scope="module")
def truth(plan: PhantomPlan) -> pa.Table:
    return pa.Table.from_pylist(plan.truth, schema=TRUTH)


@pytest.fixture
def perfect(plan: PhantomPlan) -> Fate:
    fate: Fate = {row: ("kept", None) for row in range(len(plan.rows))}
    for line in plan.truth:
        row, expected = line["row_index"], line["expected"]
        if expected == "flagged":
            fate[row] = ("kept", line["kind"])
        elif expected == "dropped" and line["original_row_index"] is not None:
            fate[row] = ("dropped", "image_copy")
        elif expected != "kept":
            fate[row] = (expected, line["kind"])
    return fate


def _score(truth: pa.Table, fate: Fate) -> dict[str, dict[str, Any]]:
    table = pa.table(
        {
            "row_index": pa.array(list(fate), pa.int64()),
            "action": pa.array([action for action, _ in fate.values()], pa.string()),
            "reason": pa.array([reason for _, reason in fate.values()], pa.string()),
            "witness_row_index": pa.nulls(len(fate), pa.int64()),
        }
    )
    return {line["kind"]: line for line in scorecard(truth, table).to_pylist()}


def _lines(plan: PhantomPlan, kind: str) -> list[dict[str, Any]]:
    return [line for line in plan.truth if line["kind"] == kind]


def test_a_perfect_run_scores_one_everywhere(truth: pa.Table, perfect: Fate) -> None:
    score = _score(truth, perfect)
    assert all(line["recall"] == 1.0 for line in score.values())
    assert score["duplicates"]["precision"] == 1.0
    assert score["mirrored"]["removed"] == score["other_patient"]["removed"] == 0


def test_the_order_of_truth_and_fate_does_not_matter(truth: pa.Table, perfect: Fate) -> None:
    rng = np.random.default_rng(0)
    perfect[0] = ("dropped", "paraphrase")
    order = rng.permutation(len(perfect)).tolist()
    shuffled = {row: perfect[row] for row in order}
    turned = truth.take(pa.array(rng.permutation(len(truth))))
    assert _score(truth, perfect) == _score(turned, shuffled)


def test_either_of_a_pair_may_survive(plan: PhantomPlan, truth: pa.Table, perfect: Fate) -> None:
    for line in _lines(plan, "copy_crop"):
        perfect[line["row_index"]] = ("kept", None)
        perfect[line["original_row_index"]] = ("dropped", "image_copy")
    score = _score(truth, perfect)
    assert score["copy_crop"]["recall"] == 1.0
    assert score["duplicates"]["precision"] == 1.0


def test_losing_both_of_a_pair_is_neither_recall_nor_precision(
    plan: PhantomPlan, truth: pa.Table, perfect: Fate
) -> None:
    line = _lines(plan, "paraphrase")[0]
    perfect[line["original_row_index"]] = ("dropped", "paraphrase")
    score = _score(truth, perfect)
    planted = score["paraphrase"]["planted"]
    assert score["paraphrase"]["found"] == planted - 1
    total = score["duplicates"]["planted"]
    assert score["duplicates"]["precision"] == pytest.approx(total / (total + 1))


def test_keeping_both_of_a_pair_costs_recall_only(
    plan: PhantomPlan, truth: pa.Table, perfect: Fate
) -> None:
    for kind in COPIES:
        for line in _lines(plan, kind):
            perfect[line["row_index"]] = ("kept", None)
    score = _score(truth, perfect)
    assert all(score[kind]["recall"] == 0.0 for kind in COPIES)
    assert score["duplicates"]["precision"] == 1.0


def test_removed_mirrors_and_patients_are_counted_and_cost_precision(
    plan: PhantomPlan, truth: pa.Table, perfect: Fate
) -> None:
    mirror, patient = _lines(plan, "mirrored")[0], _lines(plan, "other_patient")[0]
    for line in (mirror, patient):
        perfect[line["row_index"]] = ("dropped", "image_copy")
    score = _score(truth, perfect)
    assert score["mirrored"]["removed"] == score["other_patient"]["removed"] == 1
    assert score["duplicates"]["precision"] < 1.0


def test_rows_dropped_for_other_reasons_do_not_touch_precision(
    truth: pa.Table, perfect: Fate
) -> None:
    perfect[0] = ("dropped", "leak")
    assert _score(truth, perfect)["duplicates"]["precision"] == 1.0


def test_a_leak_is_found_on_either_side(plan: PhantomPlan, truth: pa.Table, perfect: Fate) -> None:
    lines = _lines(plan, "leak_copy")
    for line in lines:
        perfect[line["row_index"]] = ("kept", None)
    assert _score(truth, perfect)["leak_copy"]["found"] == 0
    perfect[lines[0]["original_row_index"]] = ("dropped", "leak")
    assert _score(truth, perfect)["leak_copy"]["found"] == 1


def test_a_flagged_row_must_be_kept_and_flagged(
    plan: PhantomPlan, truth: pa.Table, perfect: Fate
) -> None:
    first, second = (line["row_index"] for line in _lines(plan, "control_characters")[:2])
    perfect[first], perfect[second] = ("kept", None), ("dropped", "too_long")
    score = _score(truth, perfect)["control_characters"]
    assert score["found"] == score["planted"] - 2


def test_a_row_without_a_fate_is_an_error(truth: pa.Table, perfect: Fate) -> None:
    del perfect[truth.column("row_index")[0].as_py()]
    with raises_code("fate_missing"):
        _score(truth, perfect)
