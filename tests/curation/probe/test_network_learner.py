"""The probe's network: what it learns, and that many at once are as each alone."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from curation.probe.network_learner import NetworkConfig, Networks
from curation.probe.space import ProbeSpace
from tests.curation.probe.test_kernel_learner import labelled, unit


def crossed(samples: int = 400) -> tuple[ProbeSpace, np.ndarray]:
    """Samples whose answer depends on picture and question together."""
    rng = np.random.default_rng(1)
    picture, question = rng.integers(0, 2, samples), rng.integers(0, 2, samples)
    image = unit(np.eye(8)[picture] - 0.5 + 0.1 * rng.normal(size=(samples, 8)))
    asked = unit(np.eye(8)[question] - 0.5 + 0.1 * rng.normal(size=(samples, 8)))
    return ProbeSpace(image, asked), picture ^ question


FEW = NetworkConfig(steps=100, hidden=16, seeds=2)
ROWS, REST = np.arange(200), np.arange(200, 400)


def test_it_learns_what_depends_on_picture_and_question_together() -> None:
    space, label = crossed()
    right = FEW.answer(space, labelled(label, 2), np.arange(400), [ROWS], REST)
    assert right.shape == (2, 200)
    assert right.mean() > 0.95


def test_equal_settings_give_equal_answers_and_another_seed_others() -> None:
    space, label = crossed()
    noisy = np.where(np.random.default_rng(2).random(400) < 0.3, 1 - label, label)
    first, again = (
        FEW.answer(space, labelled(noisy, 2), np.arange(400), [ROWS], REST) for _ in range(2)
    )
    np.testing.assert_array_equal(first, again)
    assert (first[0] != first[1]).any()


def test_a_subset_drawn_once_has_every_seed_and_many_draws_one_each() -> None:
    space, label = crossed()
    answers = labelled(label, 2)
    draws = [np.random.default_rng(draw).permutation(ROWS)[:50] for draw in range(3)]
    assert len(FEW.answer(space, answers, ROWS, draws, REST)) == 3
    assert len(FEW.answer(space, answers, ROWS, draws[:1], REST)) == 2


def test_networks_trained_at_once_are_those_trained_alone() -> None:
    space, label = crossed()
    answers, config = labelled(label, 2), FEW.model_copy(update={"dropout": 0.0})
    subsets = [ROWS[:90], ROWS[50:180], ROWS]
    together = Networks(config, space, answers, subsets, range(3)).scores(REST)
    for seed, (rows, scores) in enumerate(zip(subsets, together, strict=True)):
        [alone] = Networks(config, space, answers, [rows], [seed]).scores(REST)
        np.testing.assert_allclose(scores, alone, atol=1e-3)


def test_an_arm_without_anything_to_ask_has_no_answers() -> None:
    space, label = crossed()
    none = np.empty(0, np.int64)
    assert FEW.answer(space, labelled(label, 2), ROWS, [ROWS], none).shape == (2, 0)


@pytest.mark.parametrize(
    "wrong", [{"steps": 10}, {"hidden": 0}, {"dropout": 1.0}, {"seeds": 0}, {"learning_rate": 0}]
)
def test_settings_have_bounds(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        NetworkConfig.model_validate(wrong)
