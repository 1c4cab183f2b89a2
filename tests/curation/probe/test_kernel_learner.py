"""The probe's least squares against the same written out, their two forms and both algebras."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.kernel_ridge import KernelRidge  # type: ignore[import-untyped]

from curation.probe.algebra import NumpyAlgebra, TorchAlgebra, algebra_on
from curation.probe.answers import Answers
from curation.probe.kernel_learner import RIDGES, KernelConfig, choose_ridge, deal
from curation.probe.least_squares import equal_weights, systems_of
from curation.probe.space import ProbeSpace
from tests.expect import raises_code

N, CLASSES = 120, 3


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def space(seed: int = 0, n: int = N) -> ProbeSpace:
    rng = np.random.default_rng(seed)
    return ProbeSpace(unit(rng.normal(size=(n, 6))), unit(rng.normal(size=(n, 4))))


def labelled(label: np.ndarray, classes: int = CLASSES) -> Answers:
    offered = np.ones((len(label), classes), bool)
    return Answers(label, [str(number) for number in range(classes)], offered, [""] * len(label))


def trained(space: ProbeSpace, answers: Answers, rows: np.ndarray, ridge: float, asked: np.ndarray):
    """Scores of the classes for some samples after a training on others."""
    [scores] = (
        systems_of(space, answers, rows, np.zeros(len(rows), int))
        .without(None)
        .scores(asked, [ridge])
    )
    return scores


def written_out(space: ProbeSpace, label: np.ndarray, rows: np.ndarray, ridge: float) -> np.ndarray:
    """Scores of all samples, pair by pair from the formula."""
    n = len(space)
    kernel = np.empty((n, n))
    for a in range(n):
        for b in range(n):
            question, image = space.question[a] @ space.question[b], space.image[a] @ space.image[b]
            kernel[a, b] = np.exp(4 * (question - 1)) * (0.3 + np.exp(image - 1))
    targets, given = np.eye(CLASSES)[label[rows]], label[rows].tolist()
    share = np.array([1 / given.count(one) / len(set(given)) for one in given])
    mean = share @ targets
    noise = np.diag(ridge / (share * len(rows)))
    inverse = np.linalg.inv(kernel[np.ix_(rows, rows)] + noise)
    return kernel[:, rows] @ inverse @ (targets - mean) + mean


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 40), st.sampled_from(RIDGES))
def test_training_is_kernel_least_squares(seed: int, size: int, ridge: float) -> None:
    probed = space(seed, 40)
    rng = np.random.default_rng(seed)
    label = rng.integers(0, CLASSES, 40)
    rows = rng.permutation(40)[:size]
    scores = trained(probed, labelled(label), rows, ridge, np.arange(40))
    np.testing.assert_allclose(scores, written_out(probed, label, rows, ridge), atol=1e-9)


@pytest.mark.parametrize("size", [40, 110])
def test_landmarks_of_every_sample_give_the_exact_probe(size: int) -> None:
    exact = space()
    approximate = replace(exact, exact_up_to=0, landmarks=N)
    label = np.random.default_rng(5).integers(0, CLASSES, N)
    rows = np.random.default_rng(6).permutation(N)[:size]
    first, second = (
        trained(each, labelled(label), rows, 0.1, np.arange(N)) for each in (exact, approximate)
    )
    np.testing.assert_allclose(first, second, atol=2e-3)


def test_both_forms_of_the_approximate_system_agree() -> None:
    """Up to as many samples as features it is solved over samples, above over features."""
    probed = replace(space(), exact_up_to=0, landmarks=30)
    label = np.random.default_rng(5).integers(0, CLASSES, N)
    rows = np.arange(60)
    by_features = trained(probed, labelled(label), rows, 0.1, np.arange(N))
    features = probed.features.astype(np.float64)
    targets = np.eye(CLASSES)[label[rows]]
    weight = equal_weights(label[rows])
    mean = weight @ targets / len(rows)
    peer = KernelRidge(alpha=0.1, kernel="linear").fit(features[rows], targets - mean, weight)
    by_samples = peer.predict(features) + mean
    np.testing.assert_allclose(by_features, by_samples, atol=1e-3)


def test_an_answer_in_excess_does_not_win_where_the_probe_knows_nothing() -> None:
    """Fifty samples of one answer and two of another, and questions far from all of them."""
    rng = np.random.default_rng(3)
    near = unit(np.eye(16)[rng.integers(0, 2, 52)] + 0.05 * rng.normal(size=(52, 16)))
    far = np.eye(16)[[2, 3, 4]]
    picture = np.zeros((55, 4))
    label = np.array([0] * 50 + [1] * 2 + [0] * 3)
    probed = ProbeSpace(picture, np.concatenate([near, far]))
    scores = trained(probed, labelled(label, 2), np.arange(52), 0.1, np.arange(52, 55))
    assert np.abs(scores[:, 0] - scores[:, 1]).max() < 0.1


def test_the_probe_learns_what_depends_on_picture_and_question_together() -> None:
    rng = np.random.default_rng(1)
    picture, question = rng.integers(0, 2, 600), rng.integers(0, 2, 600)
    image = unit(np.eye(8)[picture] + 0.1 * rng.normal(size=(600, 8)))
    asked = unit(np.eye(8)[question] + 0.1 * rng.normal(size=(600, 8)))
    label = picture ^ question  # neither alone says anything
    answers = labelled(label, 2)
    rows, rest = np.arange(300), np.arange(300, 600)
    scores = trained(ProbeSpace(image, asked), answers, rows, 0.03, rest)
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
        ridge: answers.correct(fresh, trained(probed, answers, rows, ridge, fresh)).mean()
        for ridge in ridges
    }
    chosen = chosen_ridge(probed, answers, rows, group, ridges)
    assert accuracy[chosen] >= max(accuracy.values()) - 0.02
    assert min(accuracy.values()) < max(accuracy.values()) - 0.03
    assert chosen_ridge(probed, answers, rng.permutation(rows), group, ridges) == chosen


def chosen_ridge(space, answers, rows, group, ridges=RIDGES) -> float:
    fold = deal(group[rows])
    return choose_ridge(systems_of(space, answers, rows, fold), answers, rows, fold, ridges)


def test_one_group_leaves_nothing_to_choose_by() -> None:
    answers = labelled(np.zeros(20, np.int64))
    assert chosen_ridge(space(n=20), answers, np.arange(20), np.zeros(20)) == RIDGES[1]


@pytest.mark.parametrize("size", [25, 90])
@pytest.mark.parametrize("exact_up_to", [N, 0])
def test_a_fold_left_out_of_a_system_is_the_system_of_the_others(size, exact_up_to) -> None:
    probed = replace(space(), exact_up_to=exact_up_to, landmarks=30)
    rng = np.random.default_rng(3)
    answers, rows = labelled(rng.integers(0, CLASSES, N)), np.sort(rng.permutation(N)[:size])
    fold = rng.integers(0, 3, size)
    systems = systems_of(probed, answers, rows, fold)
    for out in range(3):
        [part] = systems.without(out).scores(np.arange(N), [0.1])
        alone = trained(probed, answers, rows[fold != out], 0.1, np.arange(N))
        np.testing.assert_allclose(part, alone, atol=1e-9 if exact_up_to else 2e-4)


def answers_by(algebra, exact_up_to: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """Right answers and scores of a learner by one algebra."""
    probed = replace(space(), exact_up_to=exact_up_to, landmarks=30, algebra=algebra)
    rng = np.random.default_rng(8)
    answers, group = labelled(rng.integers(0, CLASSES, N)), np.arange(N) // 3
    subsets, asked = [rng.permutation(90)[:size] for size in (20, 20, 80)], np.arange(90, N)
    right = KernelConfig().answer(probed, answers, group, subsets, asked)
    return right, [trained(probed, answers, rows, 0.1, asked) for rows in subsets]


@pytest.mark.parametrize("exact_up_to", [N, 0])
def test_torch_computes_what_numpy_computes(exact_up_to: int) -> None:
    ours, theirs = (answers_by(each, exact_up_to) for each in (NumpyAlgebra(), TorchAlgebra("cpu")))
    np.testing.assert_array_equal(ours[0], theirs[0])
    for one, other in zip(ours[1], theirs[1], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6 if exact_up_to else 1e-4)


@pytest.mark.parametrize("exact_up_to", [N, 0])
def test_a_gpu_computes_what_numpy_computes(exact_up_to: int) -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("torch sees no GPU")
    ours, theirs = (answers_by(each, exact_up_to) for each in (NumpyAlgebra(), algebra_on("cuda")))
    for one, other in zip(ours[1], theirs[1], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6 if exact_up_to else 1e-3)


def test_the_device_setting_decides_the_algebra() -> None:
    import torch

    assert algebra_on("cpu") == NumpyAlgebra()
    if torch.cuda.is_available():
        assert algebra_on("auto") == TorchAlgebra("cuda")
    else:
        assert algebra_on("auto") == NumpyAlgebra()
        with raises_code("gpu_missing"):
            algebra_on("cuda")
