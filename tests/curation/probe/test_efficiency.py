"""Data efficiency, on curves whose right value is known."""

from __future__ import annotations

import numpy as np
import pytest

from curation.probe.efficiency import data_efficiency

SIZES = (50, 100, 200, 400, 800)
CLUSTERS = np.repeat(np.arange(400), 5)


def answers(accuracy: float, draws: int, seed: int) -> np.ndarray:
    """Right answers (draws, 2000) to questions of a fixed difficulty each."""
    difficulty = np.random.default_rng(99).random(len(CLUSTERS))
    noise = np.random.default_rng(seed).normal(0, 0.02, (draws, len(CLUSTERS)))
    return (difficulty + noise < accuracy).astype(np.float64)


def curve(size: float) -> float:
    return 0.2 + 0.1 * np.log2(size / 50)


RANDOM = {size: answers(curve(size), 20, size) for size in SIZES}


@pytest.mark.parametrize("factor", [0.5, 1.0, 1.5, 2.0])
def test_a_selection_worth_more_random_samples_has_that_efficiency(factor: float) -> None:
    selected = {200: answers(curve(200 * factor), 1, 7)}
    found = data_efficiency(selected, RANDOM, CLUSTERS)[200]
    assert found.value == pytest.approx(factor, rel=0.05)
    assert found.low < factor < found.high
    assert found.beyond is None


def test_random_itself_replaces_one_sample_at_every_size() -> None:
    other = {size: answers(curve(size), 20, size + 1) for size in SIZES[1:-1]}
    for found in data_efficiency(other, RANDOM, CLUSTERS).values():
        assert found.low <= 1.0 <= found.high


def test_accuracy_outside_the_curve_says_so() -> None:
    found = data_efficiency({100: answers(0.9, 1, 1), 400: answers(0.05, 1, 2)}, RANDOM, CLUSTERS)
    assert (found[100].beyond, found[100].value) == ("above", pytest.approx(8.0))
    assert (found[400].beyond, found[400].value) == ("below", pytest.approx(0.125))


def test_equal_seeds_give_equal_intervals_and_more_items_give_narrower_ones() -> None:
    selected = {200: answers(curve(300), 1, 3)}
    first, again = (data_efficiency(selected, RANDOM, CLUSTERS) for _ in range(2))
    assert first == again
    few = slice(0, 500)
    narrow = first[200]
    wide = data_efficiency(
        {200: selected[200][:, few]},
        {size: correct[:, few] for size, correct in RANDOM.items()},
        CLUSTERS[few],
    )[200]
    assert wide.high - wide.low > narrow.high - narrow.low
