"""The expected usefulness of a question is what simulation finds, and symmetric."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from curation.rl_set.questions import RlSetConfig, decide
from curation.rl_set.usefulness import expected_usefulness


@pytest.mark.parametrize(
    ("correct", "drawn", "group"), [(0, 16, 8), (1, 4, 8), (7, 9, 4), (8, 8, 16)]
)
def test_simulated_groups_differ_as_often_as_expected(correct: int, drawn: int, group: int):
    generator = np.random.default_rng([correct, drawn, group])
    n = 400_000
    shares = generator.beta(correct + 0.5, drawn - correct + 0.5, n)
    right = generator.binomial(group, shares)
    found = np.mean((right > 0) & (right < group))
    expected = expected_usefulness(np.array([correct]), np.array([drawn]), group)[0]
    assert abs(found - expected) < 5 * np.sqrt(0.25 / n)


def test_right_and_wrong_count_alike():
    correct = np.arange(17)
    useful = expected_usefulness(correct, np.full(17, 16), 8)
    np.testing.assert_allclose(useful, useful[::-1], atol=1e-12)
    assert np.all(np.diff(useful[:9]) > 0)


def counts(**columns: list[object]) -> pa.Table:
    size = len(columns["correct"])
    every = {
        "sample_id": [f"s{k}" for k in range(size)],
        "row_id": [f"r{k}" for k in range(size)],
        "modality": ["ct"] * size,
        "task_type": ["presence"] * size,
        "chance": [0.5] * size,
        "drawn": [16] * size,
        "unparsed": [0] * size,
        "cut": [0] * size,
        "unanswered": [0] * size,
        "blank_drawn": [0] * size,
        "blank_correct": [0] * size,
    }
    return pa.table(every | columns)


def test_a_question_at_chance_that_needs_no_picture_is_a_suspect_and_not_trained_on():
    table = counts(
        correct=[4, 4, 12, 0, 16, 0],
        blank_drawn=[8, 8, 8, 0, 0, 0],
        blank_correct=[4, 0, 8, 0, 0, 0],
        drawn=[16, 16, 16, 16, 16, 0],
    )
    found = decide(table, RlSetConfig())["verdict"].to_pylist()
    assert found == ["suspect", "kept", "kept", "too hard", "too easy", "unanswered"]


def test_thirds_order_each_cell_by_share_whatever_the_order_of_rows():
    table = counts(correct=[12, 4, 8, 9, 3, 10], modality=["ct", "ct", "ct", "mr", "mr", "mr"])
    found = decide(table, RlSetConfig())
    thirds = dict(zip(found["sample_id"].to_pylist(), found["third"].to_pylist(), strict=True))
    assert thirds == {
        "s0": "easy",
        "s2": "medium",
        "s1": "hard",
        "s5": "easy",
        "s3": "medium",
        "s4": "hard",
    }
    backwards = table.take(list(range(5, -1, -1)))
    again = decide(backwards, RlSetConfig()).sort_by("sample_id")
    assert again.equals(found.sort_by("sample_id"))


def test_a_cell_beyond_its_quota_keeps_the_most_useful():
    table = counts(correct=[8, 2, 7, 8, 3, 8, 4, 4, 4])
    found = decide(table, RlSetConfig(per_cell=2))
    kept = found.filter(pa.array([one == "kept" for one in found["verdict"].to_pylist()]))
    assert kept.num_rows == 6
    assert set(found["verdict"].to_pylist()) == {"kept", "quota"}
    assert "s1" not in kept["sample_id"].to_pylist()
