"""Two models compared item by item: matching, McNemar, verdicts."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from medsift.statistics import difference, mcnemar, non_inferiority, paired, superiority
from medsift.statistics.difference import Difference
from tests.expect import raises_code


def rescored(table, seed, right=0.7):
    rng = np.random.default_rng(seed)
    scores = (rng.random(table.num_rows) < right).astype(float)
    return table.set_column(table.schema.get_field_index("score"), "score", pa.array(scores))


def between(low, high):
    return Difference(0.5, 0.5, (low + high) / 2, low, high, 400, 200, (1, 1))


def test_it_is_the_clustered_difference_of_the_matched_scores(predictions):
    first = predictions(400)
    second = rescored(first, 8)
    shuffled = second.take(np.random.default_rng(9).permutation(400))
    found = paired(first, shuffled, margin=0.05)
    assert found.difference == difference(
        first["score"].to_numpy(),
        second["score"].to_numpy(),
        pc.binary_join_element_wise("image", first["image_id"], ":"),
    )


def test_mcnemar_is_over_items_that_are_right_or_wrong(predictions):
    first = predictions(400)
    second = rescored(first, 8)
    found = paired(first, second, margin=0.05).mcnemar
    closed = np.array(first["answer_type"].to_pylist()) == "closed"
    a, b = (table["score"].to_numpy()[closed] for table in (first, second))
    assert found == mcnemar(a, b)
    assert found.n == closed.sum()
    opened = first.filter(pc.equal(first["answer_type"], "open"))
    assert paired(opened, opened, margin=0.05).mcnemar is None


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 20))
def test_mcnemar_is_the_binomial_test_of_the_items_apart(heads, tails, both):
    first = [1] * heads + [0] * tails + [1] * both
    second = [0] * heads + [1] * tails + [1] * both
    found = mcnemar(first, second)
    assert (found.n, found.only_first, found.only_second) == (heads + tails + both, heads, tails)
    if heads + tails:
        assert found.p == pytest.approx(binomtest(heads, heads + tails).pvalue)
    else:
        assert found.p is None


def test_mcnemar_is_the_sum_over_all_coin_tosses():
    found = mcnemar([1] * 9 + [0] * 2, [0] * 9 + [1] * 2)
    assert found.p == pytest.approx(2 * sum(math.comb(11, k) for k in range(3)) / 2**11)


def test_mcnemar_refuses_shares():
    with raises_code("statistic_input_invalid", value=0.5):
        mcnemar([0.5, 1], [0, 1])


@pytest.mark.parametrize(
    ("low", "high", "no_worse", "better"),
    [
        (-0.01, 0.03, "non-inferior", "inconclusive"),
        (0.01, 0.03, "non-inferior", "superior"),
        (-0.019, -0.001, "non-inferior", "worse"),
        (-0.03, 0.03, "inconclusive", "inconclusive"),
        (-0.03, -0.01, "inconclusive", "worse"),
        (-0.09, -0.03, "inferior", "worse"),
        (-0.02, 0.0, "inconclusive", "inconclusive"),
        (-0.05, -0.02, "inconclusive", "worse"),
    ],
)
def test_verdicts_follow_from_where_the_interval_lies(low, high, no_worse, better):
    assert non_inferiority(between(low, high), 0.02) == no_worse
    assert superiority(between(low, high)) == better


def test_without_an_interval_nothing_is_concluded(predictions):
    one = predictions(20, images=1)
    found = paired(one, one, margin=0.02)
    assert (found.non_inferiority, found.superiority) == ("inconclusive", "inconclusive")


def test_seeds_are_matched_run_by_run(predictions):
    base = predictions(300)
    runs = [rescored(base, seed) for seed in range(5)]
    mixed = [run.take(np.random.default_rng(n).permutation(300)) for n, run in enumerate(runs)]
    found = paired(mixed[:3], mixed[3:], margin=0.05)
    assert found == paired(runs[:3], runs[3:], margin=0.05)
    assert found.difference.seeds == (3, 2)
    assert found.mcnemar is None


def test_items_of_two_benchmarks_or_variants_may_share_an_id(predictions):
    table = pa.concat_tables(
        [predictions(50), predictions(50, benchmark="b"), predictions(50, variant="blur")]
    )
    assert paired(table, table, margin=0.02).difference.value == 0


@pytest.mark.parametrize(
    ("change", "values"),
    [
        (lambda t: t.slice(2), {"missing": 2, "unknown": 0, "first": "vqa q00000"}),
        (lambda t: pa.concat_tables([t, t.slice(7, 1)]), {"twice": 1, "first": "vqa q00007"}),
        (
            lambda t: t.set_column(3, "item_id", pa.array([*t["item_id"].to_pylist()[:-1], "new"])),
            {"missing": 1, "unknown": 1, "first": "vqa q00059"},
        ),
        (
            lambda t: t.set_column(2, "variant", pa.array(["blur"] * 60)),
            {"missing": 60, "unknown": 60, "first": "vqa q00000"},
        ),
        (lambda t: t.slice(0, 0), {"missing": 60, "unknown": 0}),
        (
            lambda t: t.set_column(4, "image_id", pa.array([*t["image_id"].to_pylist()[:-1], "x"])),
            {"changed": 1, "first": "q00059"},
        ),
        (lambda t: t.drop(["score"]), {"missing": ["score"]}),
        (
            lambda t: t.set_column(3, "item_id", pa.array([None, *t["item_id"].to_pylist()[1:]])),
            {"unnamed": 1},
        ),
    ],
)
def test_items_that_do_not_match_are_refused_by_count_and_id(predictions, change, values):
    table = predictions(60)
    with raises_code("models_not_comparable", **values) as caught:
        paired(table, change(table), margin=0.02)
    assert caught.value.values.get("model") == (None if "unnamed" in values else "second")


def test_an_unknown_item_is_named_with_its_variant(predictions):
    table = predictions(60)
    more = pa.concat_tables([table, predictions(1, variant="blur")])
    with raises_code("models_not_comparable", unknown=1, first="vqa q00000 (blur)"):
        paired(table, more, margin=0.02)


@pytest.mark.parametrize("margin", [0, -0.02, 1, 2, float("nan")])
def test_a_margin_that_is_no_share_is_refused(predictions, margin):
    with raises_code("statistic_input_invalid", name="margin"):
        paired(predictions(20), predictions(20), margin=margin)


def test_a_model_without_predictions_is_refused(predictions):
    with raises_code("models_not_comparable"):
        paired(predictions(20), [], margin=0.02)
