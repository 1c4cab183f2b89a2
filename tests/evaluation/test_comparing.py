"""Two evaluations side by side: the shared items, the verdicts, and what cannot be compared."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from evaluation.compare_models import compare_models
from medsift.statistics import Resampling
from tests.expect import raises_code

FEW = Resampling(draws=199)


@pytest.fixture
def arms(baselines) -> list[pa.Table]:
    return [one.predictions for one in baselines.models]


def test_the_difference_is_that_of_the_means(arms):
    found = compare_models(*arms, margin=0.05, resampling=FEW)
    assert [one["answer_type"] for one in found] == ["all", "choice", "closed", "open"]
    originals = [arm.filter(pc.equal(arm["variant"], "original")) for arm in arms]
    means = [pc.mean(arm["score"]).as_py() for arm in originals]
    line = found[0]
    assert (line["first"], line["second"]) == pytest.approx(tuple(means))
    assert line["n"] == originals[0].num_rows
    assert line["low"] <= line["difference"] <= line["high"]


def test_a_model_is_no_worse_than_itself_and_no_better(arms):
    line = compare_models(arms[0], arms[0], margin=0.5, resampling=FEW)[0]
    assert line["difference"] == 0
    assert (line["non_inferiority"], line["superiority"]) == ("non-inferior", "inconclusive")
    # So few pictures cannot show that two models never differ, even where they never did.
    assert line["low"] < 0 < line["high"]
    assert (line["only_first_right"], line["only_second_right"]) == (0, 0)


def test_exchanged_models_have_the_opposite_difference(arms):
    there, back = (
        compare_models(*pair, margin=0.02, resampling=FEW)[0] for pair in (arms, arms[::-1])
    )
    assert there["difference"] == pytest.approx(-back["difference"])
    assert there["low"] == pytest.approx(-back["high"])


def test_open_answers_are_compared_by_a_share_of_words(arms):
    found = compare_models(*arms, margin=0.02, metric="token_f1", resampling=FEW)
    assert [one["answer_type"] for one in found] == ["all"]
    assert (
        found[0]["n"]
        == pc.sum(
            pc.and_(
                pc.equal(arms[0]["answer_type"], "open"), pc.equal(arms[0]["variant"], "original")
            )
        ).as_py()
    )


def renamed(column: str, value: str) -> Callable[[pa.Table], pa.Table]:
    """What gives every row of a table the same value in a column."""

    def change(arm: pa.Table) -> pa.Table:
        at = arm.column_names.index(column)
        return arm.set_column(at, column, pa.array([value] * arm.num_rows))

    return change


@pytest.mark.parametrize(
    ("change", "values"),
    [
        (lambda arm: arm.filter(pc.not_equal(arm["item_id"], arm["item_id"][0])), {}),
        (renamed("benchmark", "other"), {"benchmarks": [["phantoms_train"], ["other"]]}),
        (renamed("protocol", "medevalkit"), {"protocols": [["strict"], ["medevalkit"]]}),
    ],
)
def test_what_does_not_match_is_refused(arms, change, values):
    with raises_code("models_not_comparable", **values):
        compare_models(arms[0], change(arms[1]), margin=0.02, resampling=FEW)


@pytest.mark.parametrize(
    ("settings", "code", "values"),
    [
        ({"metric": "reply"}, "metric_unknown", {"metric": "reply"}),
        ({"variant": "sepia"}, "metric_unknown", {"metric": "score", "variant": "sepia"}),
        ({"margin": 1.5}, "statistic_input_invalid", {"name": "margin", "value": 1.5}),
    ],
)
def test_impossible_settings_are_refused(arms, settings, code, values):
    with raises_code(code, **values):
        compare_models(*arms, **{"margin": 0.02, "resampling": FEW, **settings})
