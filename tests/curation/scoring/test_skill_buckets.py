"""Top neurons and buckets against plain loops, and what they do not depend on."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.scoring import skill_buckets
from curation.scoring.skill_buckets import bucket_samples, top_neurons


def activations(n: int, width: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 64, (n, width)).astype(np.float32)


@given(st.integers(1, 12), st.integers(1, 9), st.integers(1, 10), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_top_neurons_are_those_of_a_plain_loop(n: int, width: int, count: int, seed: int) -> None:
    table = activations(n, width, seed)
    columns = [[float(value) for value in column] for column in table.T]
    means = [sum(column) / n for column in columns]
    spread = [
        (sum((value - mean) ** 2 for value in column) / n) ** 0.5
        for column, mean in zip(columns, means, strict=True)
    ]
    for row, found in zip(table.tolist(), top_neurons(table, count).tolist(), strict=True):
        score = [
            round((value - mean) / size, 9) if size else 0.0
            for value, mean, size in zip(row, means, spread, strict=True)
        ]
        assert len(found) == len(set(found)) == min(count, width)
        assert [score[neuron] for neuron in found] == sorted(score, reverse=True)[:count]


def test_blocks_and_order_of_rows_and_size_of_a_neuron_do_not_matter(monkeypatch) -> None:
    table = activations(50, 20, 1)
    wanted = top_neurons(table, 4)
    monkeypatch.setattr(skill_buckets, "ROWS_AT_A_TIME", 7)
    np.testing.assert_array_equal(top_neurons(table, 4), wanted)
    order = np.random.default_rng(2).permutation(50)
    np.testing.assert_array_equal(top_neurons(table[order], 4), wanted[order])
    louder = table * np.float32(2.0) ** np.arange(20, dtype=np.float32)
    np.testing.assert_array_equal(top_neurons(louder, 4), wanted)


def test_a_neuron_that_is_strong_in_every_sample_describes_none() -> None:
    table = activations(30, 10, 3)
    table[:, 4] = 1e4
    assert (table.argmax(axis=1) == 4).all()
    assert 4 not in top_neurons(table, 1)


def test_samples_that_share_neurons_share_a_bucket_and_the_largest_comes_first() -> None:
    groups = [np.arange(0, 8), np.arange(20, 28), np.arange(40, 48)]
    top = np.stack([groups[0]] * 5 + [groups[1]] * 9 + [groups[2]] * 2)
    # One neuron of eight differs here and there, and the order within a sample says nothing.
    top[3, 2], top[8, 5] = 99, 98
    top[10] = top[10][::-1]
    found = bucket_samples(top, 3, 0, "cpu")
    assert found.tolist() == [1] * 5 + [0] * 9 + [2] * 2


def test_buckets_are_the_same_again_and_numbered_by_size() -> None:
    top = top_neurons(activations(300, 40, 5), 8)
    found = bucket_samples(top, 12, 7, "cpu")
    np.testing.assert_array_equal(found, bucket_samples(top, 12, 7, "cpu"))
    sizes = np.bincount(found)
    assert len(sizes) <= 12
    assert (np.diff(sizes) <= 0).all()
    twins = np.concatenate([top, top])
    both = bucket_samples(twins, 12, 7, "cpu")
    np.testing.assert_array_equal(both[:300], both[300:])
