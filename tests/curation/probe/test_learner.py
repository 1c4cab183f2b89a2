"""The probe's learner against the same least squares written out, and its two forms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.probe.answers import Answers
from curation.probe.learner import RIDGES, choose_ridge, train
from curation.probe.space import ProbeSpace

N, CLASSES = 120, 3


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def space(seed: int = 0, n: int = N) -> ProbeSpace:
    rng = np.random.default_rng(seed)
    return ProbeSpace(unit(rng.normal(size=(n, 6))), unit(rng.normal(size=(n, 4))))


def labelled(label: np.ndarray, classes: int = CLASSES) -> Answers:
    offered = np.ones((len(label), classes), bool)
    return Answers(label, [str(number) for number in range(classes)], offered, [""] * len(label))


def written_out(space: ProbeSpace, label: np.ndarray, rows: np.ndarray, ridge: float) -> np.ndarray:
    """Scores of all samples, pair by pair from the formula."""
    n = len(space)
    kernel = np.empty((n, n))
    for a in range(n):
        for b in range(n):
            question, image = space.question[a] @ space.question[b], space.image[a] @ space.image[b]
            kernel[a, b] = np.exp(4 * (question - 1)) * (0.3 + np.exp(image - 1))
    targets = np.eye(CLASSES)[label[rows]]
    inverse = np.linalg.inv(kernel[np.ix_(rows, rows)] + ridge * np.eye(len(rows)))
    return kernel[:, rows] @ inverse @ (targets - targets.mean(0)) + targets.mean(0)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 40), st.sampled_from(RIDGES))
def test_training_is_kernel_least_squares(seed: int, size: int, ridge: float) -> None:
    probed = space(seed, 40)
    rng = np.random.default_rng(seed)
    label = rng.integers(0, CLASSES, 40)
    rows = rng.permutation(40)[:size]
    scores = train(probed, labelled(label), rows, ridge)(np.arange(40))
    np.testing.assert_allclose(scores, written_out(probed, label, rows, ridge), atol=1e-9)


@pytest.mark.parametrize("size", [40, 110])
def test_landmarks_of_every_sample_give_the_exact_probe(size: int) -> None:
    exact = space()
    approximate = replace(exact, exact_up_to=0, landmarks=N)
    label = np.random.default_rng(5).integers(0, CLASSES, N)
    rows = np.random.default_rng(6).permutation(N)[:size]
    first, second = (
        train(each, labelled(label), rows, 0.1)(np.arange(N)) for each in (exact, approximate)
    )
    np.testing.assert_allclose(first, second, atol=2e-3)


def test_both_forms_of_the_approximate_system_agree() -> None:
    """Up to as many samples as features it is solved over samples, above over features."""
    probed = replace(space(), exact_up_to=0, landmarks=30)
    label = np.random.default_rng(5).integers(0, CLASSES, N)
    rows = np.arange(60)
    by_features = train(probed, labelled(label), rows, 0.1)(np.arange(N))
    features = probed.features.astype(np.float64)
    targets = np.eye(CLASSES)[label[rows]]
    kernel = features[rows] @ features[rows].T + 0.1 * np.eye(len(rows))
    weights = np.linalg.solve(kernel, targets - targets.mean(0))
    by_samples = features @ features[rows].T @ weights + targets.mean(0)
    np.testing.assert_allclose(by_features, by_samples, atol=1e-3)


def test_the_probe_learns_what_depends_on_picture_and_question_together() -> None:
    rng = np.random.default_rng(1)
    picture, question = rng.integers(0, 2, 600), rng.integers(0, 2, 600)
    image = unit(np.eye(8)[picture] + 0.1 * rng.normal(size=(600, 8)))
    asked = unit(np.eye(8)[question] + 0.1 * rng.normal(size=(600, 8)))
    label = picture ^ question  # neither alone says anything
    answers = labelled(label, 2)
    rows, rest = np.arange(300), np.arange(300, 600)
    scores = train(ProbeSpace(image, asked), answers, rows, 0.03)(rest)
    assert answers.correct(rest, scores).mean() > 0.95


def test_only_offered_classes_compete_and_equals_go_to_the_first() -> None:
    answers = replace(
        labelled(np.array([2, 2, 0])), offered=np.array([[1, 1, 1], [1, 1, 0], [1, 1, 1]], bool)
    )
    scores = np.array([[0.1, 0.2, 0.7], [0.1, 0.2, 0.7], [0.5, 0.5, 0.0]])
    assert answers.best(np.arange(3), scores).tolist() == [2, 1, 0]
    assert answers.correct(np.arange(3), scores).tolist() == [1.0, 0.0, 1.0]


def test_the_regularisation_chosen_inside_a_training_set_is_near_the_best_for_new_groups() -> None:
    rng = np.random.default_rng(2)
    group = np.repeat(np.arange(200), 5)
    image = unit(np.repeat(rng.normal(size=(200, 16)), 5, axis=0))
    asked = unit(rng.normal(size=(1000, 32)) + 3.0 * np.eye(32)[0] * rng.choice([-1, 1], (1000, 1)))
    # The question says which answer is likelier, a third are wrong at random.
    label = ((asked[:, 0] > 0) ^ (rng.random(1000) < 0.33)).astype(np.int64)
    probed, answers = ProbeSpace(image, asked), labelled(label, 2)
    rows, fresh = np.arange(300), np.arange(300, 1000)
    ridges = (1e-6, 0.01, 1.0, 100.0)
    accuracy = {
        ridge: answers.correct(fresh, train(probed, answers, rows, ridge)(fresh)).mean()
        for ridge in ridges
    }
    chosen = choose_ridge(probed, answers, rows, group, ridges)
    assert accuracy[chosen] >= max(accuracy.values()) - 0.02
    assert min(accuracy.values()) < max(accuracy.values()) - 0.03
    assert choose_ridge(probed, answers, rng.permutation(rows), group, ridges) == chosen


def test_one_group_leaves_nothing_to_choose_by() -> None:
    answers = labelled(np.zeros(20, np.int64))
    assert choose_ridge(space(n=20), answers, np.arange(20), np.zeros(20)) == RIDGES[1]
