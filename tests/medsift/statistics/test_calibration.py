"""Confidence against being right: closed forms, brute force, invariances."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medsift.statistics import calibration, interval, option_confidence
from tests.expect import raises_code


def simulated(n, seed=0, overconfident=0.0):
    rng = np.random.default_rng(seed)
    confidence = rng.uniform(0.3, 1, n)
    right = (rng.random(n) < confidence - overconfident * confidence).astype(float)
    return confidence, right, np.arange(n)


def brute_force(confidence, right, bins):
    """Equal width, by the definition."""
    error = 0.0
    for number in range(bins):
        low, high = number / bins, (number + 1) / bins
        last = number == bins - 1
        own = [i for i, c in enumerate(confidence) if low <= c < high or (last and c == 1.0)]
        if own:
            gap = np.mean([right[i] for i in own]) - np.mean([confidence[i] for i in own])
            error += len(own) / len(confidence) * abs(gap)
    return error


def test_equal_width_is_the_definition():
    confidence, right, ids = simulated(500)
    # Confidences in the middle of thousandths: no bin edge is near enough to be rounded over.
    confidence = (np.floor(confidence * 1000) + 0.5) / 1000
    found = calibration(confidence, right, ids, "equal_width", bins=10)
    assert found.error == pytest.approx(brute_force(confidence, right, 10), rel=1e-9)
    assert [row.low for row in found.bins] == pytest.approx(np.arange(10) / 10)


def test_equal_mass_bins_hold_as_many_items_each():
    confidence, right, ids = simulated(503)
    found = calibration(confidence, right, ids, bins=10)
    assert sum(row.accuracy.n for row in found.bins) == 503
    assert {row.accuracy.n for row in found.bins} == {50, 51}
    ends = [end for row in found.bins for end in (row.low, row.high)]
    assert ends == sorted(ends)


def test_one_bin_is_the_distance_of_the_means():
    confidence, right, ids = simulated(300, overconfident=0.3)
    for binning in ("equal_mass", "equal_width"):
        found = calibration(confidence, right, ids, binning, bins=1)
        assert found.error == pytest.approx(abs(confidence.mean() - right.mean()))


def test_a_promise_kept_exactly_has_no_error():
    confidence = np.repeat([0.25, 0.75], 40)
    right = np.array([1.0] * 10 + [0.0] * 30 + [1.0] * 30 + [0.0] * 10)
    assert calibration(confidence, right, np.arange(80)).error == pytest.approx(0)


def test_equal_confidences_share_a_bin_whatever_the_order():
    rng = np.random.default_rng(1)
    confidence = rng.choice([0.4, 0.6, 0.61, 0.9], 300)
    right = (rng.random(300) < 0.6).astype(float)
    ids = rng.integers(0, 70, 300)
    order = rng.permutation(300)
    found = calibration(confidence, right, ids)
    again = calibration(confidence[order], right[order], ids[order])
    assert again.error == pytest.approx(found.error)
    assert [row.accuracy for row in again.bins] == [row.accuracy for row in found.bins]
    for value in np.unique(confidence):
        holding = [row for row in found.bins if row.accuracy.n and row.low <= value <= row.high]
        assert len(holding) == 1


def test_every_bin_has_the_clustered_interval_of_its_items():
    confidence, right, _ = simulated(900)
    ids = np.random.default_rng(2).integers(0, 200, 900)
    row = calibration(confidence, right, ids, "equal_width", bins=4).bins[2]
    own = (confidence >= 0.5) & (confidence < 0.75)
    assert row.accuracy == interval(right[own], ids[own])
    assert row.confidence == pytest.approx(confidence[own].mean())


def test_empty_bins_are_null():
    found = calibration([0.95] * 4, [1, 0, 1, 1], [1, 2, 3, 4], "equal_width")
    assert found.bins[0].confidence is None
    assert (found.bins[0].accuracy.value, found.bins[0].accuracy.n) == (None, 0)
    nothing = calibration([], [], [])
    assert (nothing.error, nothing.by_chance, nothing.n) == (None, None, 0)


def test_a_calibrated_model_shows_what_chance_gives_and_an_overconfident_one_more():
    errors, chances = zip(
        *((c.error, c.by_chance) for c in (calibration(*simulated(600, s)) for s in range(60))),
        strict=True,
    )
    assert np.mean(errors) == pytest.approx(np.mean(chances), rel=0.08)
    worse = calibration(*simulated(600, overconfident=0.4))
    assert worse.error > 3 * worse.by_chance


def test_chance_is_more_where_pictures_answer_as_one():
    picture, right, _ = simulated(80)
    ids = np.repeat(np.arange(80), 10)
    repeated = calibration(np.repeat(picture, 10), np.repeat(right, 10), ids)
    alone = calibration(picture, right, np.arange(80))
    assert repeated.by_chance == pytest.approx(alone.by_chance, rel=0.35)
    assert repeated.by_chance > 1.5 * calibration(*simulated(800)).by_chance


def test_the_likeliest_option_is_the_answer():
    confidence, right = option_confidence(
        [[0.2, 0.5, 0.3], [0.6, 0.4, np.nan], [0.4, 0.4, 0.2]], [1, 1, 0]
    )
    assert confidence.tolist() == [0.5, 0.6, 0.4]
    assert right.tolist() == [True, False, True]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.floats(0.01, 1), min_size=4, max_size=4), min_size=1, max_size=20))
def test_confidence_does_not_depend_on_absent_options(rows):
    shares = np.array(rows) / np.array(rows).sum(1, keepdims=True)
    wider = np.hstack([shares, np.full((len(rows), 2), np.nan)])
    gold = np.zeros(len(rows), int)
    for narrow, wide in zip(
        option_confidence(shares, gold), option_confidence(wider, gold), strict=True
    ):
        np.testing.assert_array_equal(narrow, wide)


@pytest.mark.parametrize(
    ("probabilities", "gold", "values"),
    [
        ([[0.5, 0.5], [0.5, 0.4]], [0, 0], {"items": 1, "first": 1}),
        ([[1.5, -0.5]], [0], {"items": 1, "first": 0}),
        ([[0.5, 0.5, np.nan]], [2], {"items": 1, "first": 0}),
        ([[0.5, 0.5]], [-1], {"items": 1, "first": 0}),
        ([0.5, 0.5], [0, 0], {"shape": (2,)}),
        ([[np.nan, np.nan]], [0], {"items": 1, "first": 0}),
    ],
)
def test_bad_probabilities_are_refused(probabilities, gold, values):
    with raises_code("statistic_input_invalid", **values):
        option_confidence(probabilities, gold)


@pytest.mark.parametrize(
    ("change", "values"),
    [
        ({"confidence": [0.5, 1.5]}, {"name": "confidence", "value": 1.5}),
        ({"correct": [1.0, np.nan]}, {"name": "correct", "missing": 1}),
        ({"binning": "deciles"}, {"name": "binning", "value": "deciles"}),
        ({"bins": 0}, {"name": "bins", "value": 0}),
    ],
)
def test_bad_input_is_refused_by_value(change, values):
    arguments = {"confidence": [0.5, 0.9], "correct": [1.0, 0.0], "clusters": [1, 2], **change}
    with raises_code("statistic_input_invalid", **values):
        calibration(**arguments)
