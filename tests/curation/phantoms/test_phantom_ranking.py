"""Ranking of planted noise: by hand on small lists, and by every pair."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.phantoms import rank_noise
from curation.phantoms.noise_metrics import average_precision, roc_auc

SCORED = st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=30).filter(
    lambda pairs: len({flag for _, flag in pairs}) == 2
)


@given(SCORED)
def test_roc_auc_is_the_share_of_pairs_in_the_right_order(pairs) -> None:
    score = np.array([value for value, _ in pairs], float)
    positive = np.array([flag for _, flag in pairs])
    wins = [float(a > b) + 0.5 * (a == b) for a in score[positive] for b in score[~positive]]
    assert roc_auc(score, positive) == pytest.approx(np.mean(wins))


@given(SCORED)
def test_average_precision_sums_the_steps_of_recall(pairs) -> None:
    score = np.array([value for value, _ in pairs], float)
    positive = np.array([flag for _, flag in pairs])
    total = 0.0
    for level in np.unique(score):
        taken = score >= level
        gained = (positive & (score == level)).sum() / positive.sum()
        total += gained * positive[taken].mean()
    assert average_precision(score, positive) == pytest.approx(total)


def test_other_defects_and_missing_scores_are_not_counted() -> None:
    truth = pa.table({"row_index": [0, 1, 2], "kind": ["wrong_answer", "mismatched", "conflict"]})
    lines = [
        (0, "label_noise", 0.9),
        (1, "label_noise", 0.8),
        (2, "label_noise", 0.7),
        (3, "label_noise", 0.1),
        (4, "label_noise", None),
        (1, "alignment", -1.0),
        (3, "alignment", 0.5),
    ]
    names = ("row_index", "scorer", "value")
    scores = pa.table(dict(zip(names, zip(*lines, strict=True), strict=True)))
    wrong, moved = rank_noise(truth, scores).to_pylist()
    assert (wrong["planted"], wrong["scored"], wrong["roc_auc"]) == (1, 2, 1.0)
    assert (moved["planted"], moved["scored"], moved["average_precision"]) == (1, 2, 1.0)
    assert rank_noise(truth.slice(2), scores).num_rows == 0
