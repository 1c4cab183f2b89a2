"""A study's results follow from its trials: means, differences, verdicts, whatever their order."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from evaluation.study_results import RESULTS, rivals, study_results
from medsift.statistics import Resampling, paired
from medsift.statistics.power import Z_INTERVAL, Z_POWER
from tests.expect import raises_code
from tests.study_trials import BY, GAINS, IMAGES, ITEMS, replies, trials_of

DRAWS = Resampling(draws=199)


@pytest.fixture(scope="module")
def trials():
    return trials_of(("original", "no_image"))


@pytest.fixture(scope="module")
def results(trials):
    return study_results(trials, 0.05, BY, DRAWS)


def of(results, **wanted):
    """The lines that agree."""
    return [
        line
        for line in results.to_pylist()
        if all(line[key] == value for key, value in wanted.items())
    ]


def one(results, **wanted):
    [line] = of(results, **({"variant": "original", "facet": "all"} | wanted))
    return line


def tables(trials, arm, budget=None):
    return [
        one.predictions.filter(pc.equal(one.predictions["variant"], "original"))
        for one in trials
        if one.arm == arm and (budget is None or one.budget == budget)
    ]


@pytest.mark.parametrize(
    ("arm", "budget"), [("small", "10%"), ("longest", "50%"), ("full", "100%")]
)
def test_accuracy_is_the_mean_over_seeds_and_items(trials, results, arm, budget):
    line = one(results, arm=arm, budget=budget, versus=None, metric="accuracy")
    scores = np.stack([table["score"].to_numpy() for table in tables(trials, arm, budget)])
    assert line["value"] == pytest.approx(scores.mean())
    assert (line["n"], line["clusters"], line["seeds"]) == (ITEMS, IMAGES, 3)
    assert line["low"] < line["value"] < line["high"]


def test_unread_replies_are_counted_over_all_seeds(trials, results):
    line = one(results, arm="small", budget="10%", versus=None, metric="accuracy")
    statuses = pa.concat_tables(tables(trials, "small", "10%"))["parse_status"]
    assert line["unparsed_rate"] == pytest.approx(pc.mean(pc.equal(statuses, "unparsed")).as_py())


def test_every_cell_is_the_mean_of_its_items(trials, results):
    table = pa.concat_tables(tables(trials, "small", "50%"))
    lines = of(results, arm="small", budget="50%", versus=None, facet="modality / task_type")
    assert {line["facet_value"] for line in lines} == {
        None,
        "ct / side",
        "mr / side",
        "xray / side",
    }
    for line in lines:
        modality = (line["facet_value"] or "").partition(" / ")[0]
        if modality:
            mask = pc.and_(pc.equal(table["modality"], modality), pc.is_valid(table["task_type"]))
        else:
            mask = pc.is_null(table["task_type"])
        assert line["value"] == pytest.approx(pc.mean(table.filter(mask)["score"]).as_py())
        assert line["n"] == pc.sum(mask).as_py() / 3


def test_a_facet_may_be_a_key_of_extra(results):
    lines = of(results, arm="small", budget="10%", versus=None, facet="view")
    assert {line["facet_value"]: line["n"] for line in lines} == {"front": 60, None: 60}


@pytest.mark.parametrize(
    ("arm", "versus", "test"),
    [
        ("small", "full", "non-inferiority"),
        ("small", "random", "superiority"),
        ("small", "stratified_random", "superiority"),
        ("small", "longest", "superiority"),
        ("longest", "random", "superiority"),
        ("random", "full", "non-inferiority"),
    ],
)
def test_a_comparison_is_that_of_the_paired_predictions_at_the_same_budget(
    trials, results, arm, versus, test
):
    line = one(results, arm=arm, budget="10%", versus=versus)
    second = tables(trials, versus, None if versus == "full" else "10%")
    found = paired(tables(trials, arm, "10%"), second, 0.05, resampling=DRAWS)
    ends = (line["difference"], line["diff_low"], line["diff_high"])
    assert ends == (found.difference.value, found.difference.low, found.difference.high)
    assert (line["value"], line["versus_value"]) == (
        found.difference.first,
        found.difference.second,
    )
    wanted = found.non_inferiority if test == "non-inferiority" else found.superiority
    assert (line["test"], line["verdict"]) == (test, wanted)
    assert line["margin"] == (0.05 if test == "non-inferiority" else None)


def test_every_arm_is_held_against_full_data_and_every_baseline(results):
    pairs = {
        (line["arm"], line["versus"]) for line in results.to_pylist() if line["verdict"] is not None
    }
    assert pairs == {(arm, versus) for arm in [*GAINS, "untrained"] for versus, _ in rivals(arm)}
    assert ("full", "untrained") in pairs


def test_what_could_have_been_shown_follows_from_the_width_with_and_without_seeds(trials, results):
    line = one(results, arm="small", budget="10%", versus="full")
    half = (line["diff_high"] - line["diff_low"]) / 2
    assert line["detectable"] == pytest.approx(half * Z_POWER / Z_INTERVAL)
    assert 0 < line["detectable_by_items"] <= line["detectable"]
    single = [trial for trial in trials if trial.seed == 0]
    alone = one(study_results(single, 0.05, (), DRAWS), arm="small", budget="10%", versus="full")
    assert alone["detectable"] == alone["detectable_by_items"]


def test_cells_are_compared_with_full_data_without_a_verdict(trials, results):
    lines = of(results, arm="small", budget="10%", versus="full", facet="modality")
    assert {line["facet_value"] for line in lines} == {"ct", "mr", "xray"}
    for line in lines:
        own = [
            [t.filter(pc.equal(t["modality"], line["facet_value"])) for t in tables(trials, *name)]
            for name in (("small", "10%"), ("full",))
        ]
        found = paired(*own, 0.05, resampling=DRAWS).difference
        assert (line["difference"], line["diff_low"]) == (found.value, found.low)
        assert (line["test"], line["verdict"]) == (None, None)


def test_a_variant_has_a_score_and_what_it_takes_away_from_the_items_it_has(trials, results):
    line = one(results, arm="full", budget="100%", variant="no_image", metric="accuracy")
    lost = one(results, arm="full", budget="100%", variant="no_image", metric="drop")
    before = np.stack([table["score"].to_numpy()[:100] for table in tables(trials, "full")])
    after = np.stack(
        [
            trial.predictions.filter(pc.equal(trial.predictions["variant"], "no_image"))["score"]
            for trial in trials
            if trial.arm == "full"
        ]
    )
    assert line["value"] == pytest.approx(after.mean())
    assert lost["value"] == pytest.approx((before - after).mean())
    assert lost["n"] == 100
    assert lost["low"] < lost["value"] < lost["high"]


def test_the_order_of_trials_and_rows_changes_nothing(trials, results):
    rng = np.random.default_rng(4)
    mixed = [
        replace(trial, predictions=trial.predictions.take(rng.permutation(len(trial.predictions))))
        for trial in np.array(trials, object)[rng.permutation(len(trials))]
    ]
    assert study_results(mixed, 0.05, BY, DRAWS).equals(results)


def test_exchanged_arms_exchange_their_results(trials, results):
    names = {"small": "full", "full": "small"}
    budgets = {("small", "10%"): ("100%", 120), ("full", "100%"): ("10%", 12)}
    swapped = []
    for trial in trials:
        if trial.arm in names and trial.budget != "50%":
            budget, samples = budgets[trial.arm, trial.budget]
            trial = replace(trial, arm=names[trial.arm], budget=budget, samples=samples)
        swapped.append(trial)
    there = one(results, arm="small", budget="10%", versus="full")
    back = one(study_results(swapped, 0.05, (), DRAWS), arm="small", budget="10%", versus="full")
    assert back["difference"] == -there["difference"]
    assert (back["diff_low"], back["diff_high"]) == (-there["diff_high"], -there["diff_low"])
    assert (back["value"], back["versus_value"]) == (there["versus_value"], there["value"])


def test_benchmarks_are_told_apart():
    both = [
        replace(
            trial,
            predictions=pa.concat_tables(
                [trial.predictions, replies(trial.seed + 7, 0.5, benchmark="other")]
            ),
        )
        for trial in trials_of(budgets=(("10%", 12),))
    ]
    found = study_results(both, 0.05, (), DRAWS)
    alone = study_results(trials_of(budgets=(("10%", 12),)), 0.05, (), DRAWS)
    own = found.filter(pc.equal(found["benchmark"], "vqa"))
    assert own.equals(alone)
    assert found.num_rows == 2 * alone.num_rows


def test_an_arm_that_lost_a_baseline_is_held_against_what_is_there(trials):
    left = [trial for trial in trials if trial.arm in ("small", "full")]
    found = study_results(left, 0.05, (), DRAWS)
    assert {line["versus"] for line in found.to_pylist()} == {None, "full"}
    assert found.schema == RESULTS


def without_some(trial):
    scores = pa.array([None, *trial.predictions["score"].to_pylist()[1:]], pa.float64())
    at = trial.predictions.schema.get_field_index("score")
    return replace(trial, predictions=trial.predictions.set_column(at, "score", scores))


@pytest.mark.parametrize(
    ("change", "code", "values"),
    [
        (
            lambda all_: [*all_, all_[3]],
            "study_trials_unfit",
            {"twice": ["small", "10%", 2]},
        ),
        (lambda all_: [], "study_trials_unfit", {"trials": 0}),
        (
            lambda all_: [*all_[:-1], replace(all_[-1], predictions=all_[-1].predictions.slice(1))],
            "models_not_comparable",
            {},
        ),
        (
            lambda all_: [without_some(all_[0]), *all_[1:]],
            "study_trials_unfit",
            {"items": 1, "first": "q000"},
        ),
    ],
)
def test_trials_that_do_not_go_together_are_refused(change, code, values):
    with raises_code(code, **values):
        study_results(change(trials_of()), 0.05, (), DRAWS)


def test_items_that_no_trial_has_a_score_for_are_left_out():
    found = study_results([without_some(trial) for trial in trials_of()], 0.05, (), DRAWS)
    assert {line["n"] for line in found.to_pylist()} == {ITEMS - 1}


def test_a_margin_that_is_no_share_is_refused(trials):
    with raises_code("statistic_input_invalid", name="margin", value=5):
        study_results(trials, 5, (), DRAWS)
