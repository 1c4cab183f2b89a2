"""What heads learn from: questions of one meaning, folds that cut no group, ridge regression."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.scoring.cross_fit import FLOOR, answer_odds, held_out
from curation.scoring.image_features import DIMENSIONS, ImageFeatures, deal, image_features
from curation.scoring.question_groups import (
    NONE,
    QuestionGroups,
    follow_leaders,
    group_questions,
)
from curation.scoring.vector_ops import reduce


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), st.integers(2, 40), st.integers(1, 30), st.floats(0.1, 10.0))
def test_each_row_is_predicted_by_ridge_on_the_other_folds(seed, rows, width, ridge) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((rows, width)), rng.standard_normal((rows, 3))
    fold = rng.integers(0, 3, rows)
    start = np.array([0.0, 1.0, -1.0])
    mean, predicted = held_out(x, y, fold, ridge, start)
    for row in range(rows):
        train = fold != fold[row]
        middle = (y[train].sum(axis=0) + start) / (train.sum() + 1)
        # The minimum of |Xw - (y - middle)|^2 + ridge |w|^2, as ordinary least squares.
        stacked = np.vstack([x[train], np.sqrt(ridge) * np.eye(width)])
        target = np.vstack([y[train] - middle, np.zeros((width, 3))])
        weights = np.linalg.lstsq(stacked, target, rcond=None)[0]
        np.testing.assert_allclose(mean[row], middle)
        np.testing.assert_allclose(predicted[row], middle + x[row] @ weights, atol=1e-8)


def test_folds_follow_from_seed_and_name_alone() -> None:
    names = [f"group{n}" for n in range(1000)]
    fold = deal(names, 5, seed=1)
    assert deal(names[::-1], 5, seed=1).tolist() == fold[::-1].tolist()
    assert deal(names[:10], 5, seed=1).tolist() == fold[:10].tolist()
    assert deal(names, 5, seed=2).tolist() != fold.tolist()
    assert np.bincount(fold).min() > 150


def test_a_group_of_pictures_is_never_cut(noisy) -> None:
    features = image_features(noisy.pool, 5, seed=3)
    folds = {}
    for group, fold in zip(noisy.pool.image_groups, features.fold.tolist(), strict=True):
        assert folds.setdefault(group, fold) == fold
    assert set(folds.values()) == set(range(5))


def test_reduced_vectors_keep_the_inner_products_of_a_low_rank_set() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((3000, 20)) @ rng.standard_normal((20, 400))
    found = reduce(lambda part: vectors[part], len(vectors), 32)
    assert found.shape == (3000, 32)
    some = rng.integers(0, 3000, 50)
    np.testing.assert_allclose(
        found[some] @ found[some].T, vectors[some] @ vectors[some].T, rtol=1e-6, atol=1e-6
    )


def test_narrow_vectors_stay_as_they_are() -> None:
    vectors = np.random.default_rng(0).standard_normal((10, 8))
    assert reduce(lambda part: vectors[part], 10, DIMENSIONS).tolist() == vectors.tolist()


def test_wordings_of_one_question_are_one_and_a_protected_word_parts_them(noisy) -> None:
    questions = noisy.pool.samples["question"].to_pylist()
    group = dict(zip(questions, group_questions(noisy.pool, 0.88).question.tolist(), strict=True))
    presence = {
        "Is there a lesion in this image?",
        "Does this image show a lesion?",
        "Is a lesion present in this image?",
    }
    assert len({group[text] for text in presence}) == 1
    sides = {
        group[text]
        for text in questions
        if text.startswith("Is there a lesion on the") and text.endswith("of the patient?")
    }
    assert len(sides) == 2
    assert sides.isdisjoint(group[text] for text in presence)


def test_options_change_neither_the_question_nor_its_answer(noisy) -> None:
    """Asked openly or as a choice, in any order of options, "which organ" is one question."""
    groups = group_questions(noisy.pool, 0.88)
    samples = noisy.pool.samples.select(["question", "answer", "answer_type"]).to_pylist()
    organ = [n for n, line in enumerate(samples) if "hich organ is shown" in line["question"]]
    kinds = {samples[n]["answer_type"] for n in organ}
    assert kinds == {"open", "choice"}
    assert len({int(groups.question[n]) for n in organ}) == 1
    assert len({int(groups.answer[n]) for n in organ}) <= 4
    assert all(len(groups.offered[n]) == 4 for n in organ if samples[n]["answer_type"] == "choice")


def test_a_group_does_not_drift_from_its_leader() -> None:
    """Each neighbour on a circle is near the next, yet only those near the leader join it."""
    angle = np.deg2rad(np.arange(0, 90, 10))
    vectors = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    names = [f"q{letter}" for letter in "abcdefghi"]
    count = np.array([9, 1, 1, 1, 1, 1, 1, 1, 1])
    group = follow_leaders(names, count, vectors, threshold=np.cos(np.deg2rad(25)))
    assert group.tolist()[:3] == [0, 0, 0]
    assert group[3] != group[0]
    for leader in np.unique(group):
        members = vectors[group == leader]
        assert (members @ members[0]).min() >= np.cos(np.deg2rad(25)) - 1e-9


def test_rare_questions_join_the_nearest_leader_or_stay_alone(monkeypatch) -> None:
    monkeypatch.setattr("curation.scoring.question_groups.LEADERS", 2)
    vectors = np.array([[1.0, 0.0], [0.0, 1.0], [0.98, 0.2], [0.7, 0.7]])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    group = follow_leaders(["a b", "c d", "e f", "g h"], np.array([5, 4, 1, 1]), vectors, 0.9)
    assert group.tolist() == [0, 1, 0, NONE]


def sides(n: int, seed: int) -> tuple[list[dict], np.ndarray, np.ndarray]:
    """Pictures of two clear kinds, asked their side as a choice with options in random order."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 2, n)
    image = np.where(kind[:, None] == 1, [3.0, 0.0, 1.0], [0.0, 3.0, 1.0])
    lines = []
    for row in range(n):
        names = ["left", "right"] if rng.random() < 0.5 else ["right", "left"]
        letter = "AB"[names.index(("left", "right")[kind[row]])]
        text = f"Which side is it? (A) {names[0]} (B) {names[1]}"
        lines.append(
            {
                "question": text,
                "answer": letter,
                "answer_type": "choice",
                "images": [f"image{row:04d}"],
            }
        )
    return lines, image + 0.3 * rng.standard_normal((n, 3)), kind


def swap(letter: str) -> str:
    return {"A": "B", "B": "A"}[letter]


def test_a_letter_counts_as_the_option_it_represents(make_pool) -> None:
    lines, image, _ = sides(120, 0)
    wrong = np.arange(0, 120, 20)
    for row in wrong:
        lines[row]["answer"] = swap(lines[row]["answer"])
    vectors = np.tile(np.eye(1, 8), (120, 1))
    pool = make_pool(lines, image=image, question=vectors)
    odds = answer_odds(image_features(pool, 5, 0), group_questions(pool, 0.88), ridge=1.0, least=10)
    right = np.setdiff1d(np.arange(120), wrong)
    assert odds.seen[wrong].max() < 0.2 < 0.6 < odds.seen[right].min()
    assert odds.classes.tolist() == [2] * 120
    assert (odds.prior[right] > 0.3).all()


def test_what_is_said_about_a_picture_never_judges_what_else_is_said_about_it(make_pool) -> None:
    """Two samples share each picture: turning one answer leaves the other's odds as they are."""
    lines, image, _ = sides(60, 1)
    lines = [dict(line) for line in lines for _ in range(2)]
    image = np.repeat(image, 2, axis=0)
    vectors = np.tile(np.eye(1, 8), (120, 1))

    def odds() -> np.ndarray:
        pool = make_pool(lines, image=image, question=vectors)
        return answer_odds(
            image_features(pool, 5, 0), group_questions(pool, 0.88), ridge=1.0, least=10
        ).seen

    before = odds()
    lines[1]["answer"] = swap(lines[1]["answer"])
    after = odds()
    assert before[0] == after[0]
    assert before[1] != after[1]
    assert (before[2:] != after[2:]).any()


def test_too_few_that_ask_the_same_are_not_judged(make_pool) -> None:
    lines, image, _ = sides(9, 2)
    pool = make_pool(lines, image=image, question=np.tile(np.eye(1, 8), (9, 1)))
    features, groups = image_features(pool, 5, 0), group_questions(pool, 0.88)
    assert np.isnan(answer_odds(features, groups, ridge=1.0, least=10).seen).all()
    assert np.isfinite(answer_odds(features, groups, ridge=1.0, least=9).seen).all()


def test_only_the_options_offered_compete(make_pool) -> None:
    """Of twenty answers given to a question, one that offers two of them is judged between two."""
    lines = [
        {"question": "What is it?", "answer": f"thing {n % 20}", "images": [f"i{n:03d}"]}
        for n in range(100)
    ]
    lines[7]["question"] = "What is it? (A) thing 7 (B) thing 8"
    lines[7]["answer"] = "A"
    rng = np.random.default_rng(0)
    pool = make_pool(
        lines, image=rng.standard_normal((100, 3)), question=np.tile(np.eye(1, 8), (100, 1))
    )
    odds = answer_odds(image_features(pool, 5, 0), group_questions(pool, 0.88), ridge=1.0, least=10)
    assert odds.classes[7] == 2
    assert odds.classes[8] == 20
    assert odds.prior[7] == pytest.approx(0.5, abs=0.15)
    assert odds.prior[8] < 0.1
    assert odds.seen[7] >= FLOOR


def test_answers_of_one_fold_are_not_judged() -> None:
    vectors = np.random.default_rng(0).standard_normal((40, 6))
    groups = QuestionGroups(np.repeat([0, 1], 20), np.tile([0, 1], 20), [()] * 40)
    fold = np.concatenate([np.zeros(20, np.int64), np.arange(20) % 3])
    features = ImageFeatures(vectors, np.arange(40), fold)
    odds = answer_odds(features, groups, ridge=1.0, least=10)
    for estimate in (odds.seen, odds.prior):
        assert np.isnan(estimate).tolist() == [True] * 20 + [False] * 20
