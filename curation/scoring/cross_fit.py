"""Linear heads from pictures to what is said of them, always judged on pictures they never saw."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from curation.scoring.image_features import Shown
from curation.scoring.question_groups import NONE, Asked
from medsift.arrays import Doubles, Flags, Indices

CLASSES: Final = 256
FLOOR: Final = 0.02


@dataclass(frozen=True, slots=True)
class AnswerOdds:
    """What pictures say about the answers given to n questions; NaN where nothing can be said.

    `seen` (n,) is the probability of the given answer for the question and the picture, `prior`
    (n,) for the question alone, `classes` (n,) the number of answers it could have been.
    """

    seen: Doubles
    prior: Doubles
    classes: Indices


def answer_odds(shown: Shown, asked: Asked, *, ridge: float, least: int) -> AnswerOdds:
    """Estimate each given answer's probability from other pictures with the same question.

    Of each question with `least` pictures or more: ridge regression of the answers' indicators on
    the picture features (a linear probability model), fitted without the fold that is judged;
    estimates below `FLOOR` are lifted to it, and of a choice only the options offered compete.
    """
    n = len(asked.question)
    found = AnswerOdds(np.full(n, np.nan), np.full(n, np.nan), np.zeros(n, np.int64))
    usable = (asked.question != NONE) & (asked.answer != NONE) & (shown.place >= 0)
    rows = np.flatnonzero(usable)
    rows = rows[np.argsort(asked.question[rows], kind="stable")]
    _, starts = np.unique(asked.question[rows], return_index=True)
    for group in np.split(rows, starts[1:]):
        # In one fold nobody is left to judge by: that is no estimate, not an even chance.
        if len(group) >= least and np.ptp(shown.fold[group]) > 0:
            _judge(group, shown, asked, ridge, found)
    return found


def _judge(rows: Indices, shown: Shown, asked: Asked, ridge: float, found: AnswerOdds) -> None:
    """Fill in the rows of one question."""
    labels, number = _classes(asked.answer[rows])
    known = number < CLASSES
    rows, number, labels = rows[known], number[known], labels[:CLASSES]
    k = len(labels)
    given = np.eye(k)[number]
    offered = _offered(rows, labels, asked)
    prior, seen = held_out(shown.of(rows), given, shown.fold[rows], ridge, np.full(k, 1.0 / k))
    here = np.arange(len(rows))
    found.seen[rows] = _probabilities(seen, offered)[here, number]
    found.prior[rows] = _probabilities(prior, offered)[here, number]
    counts = np.array([len(asked.offered[row]) for row in rows.tolist()])
    found.classes[rows] = np.maximum(np.where(counts > 0, counts, k), 2)


def _classes(answers: Indices) -> tuple[Indices, Indices]:
    """Distinct answers (k,), commonest first, and the number (r,) of each row's answer."""
    labels, number, count = np.unique(answers, return_inverse=True, return_counts=True)
    order = np.argsort(-count, kind="stable")
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return labels[order], rank[number]


def _offered(rows: Indices, labels: Indices, asked: Asked) -> Flags:
    """Which answers (r, k) compete: those offered and the one given, or all where none are."""
    place = {int(label): column for column, label in enumerate(labels)}
    offered = np.zeros((len(rows), len(labels)), bool)
    for line, row in enumerate(rows.tolist()):
        options = [place[option] for option in asked.offered[row] if option in place]
        offered[line, options or slice(None)] = True
        offered[line, place[int(asked.answer[row])]] = True
    return offered


def _probabilities(estimates: Doubles, offered: Flags) -> Doubles:
    lifted = np.where(offered, np.maximum(estimates, FLOOR), 0.0)
    found: Doubles = lifted / lifted.sum(axis=1, keepdims=True)
    return found


def held_out(
    features: Doubles, targets: Doubles, fold: Indices, ridge: float, start: Doubles
) -> tuple[Doubles, Doubles]:
    """Mean (r, t) and ridge prediction (r, t) of each row's targets from rows of other folds.

    The mean counts `start` (t,) as one row more, so that an empty fold has one. Ridge regression
    of what the mean leaves (Hoerl and Kennard 1970): w = (X'X + ridge I)^-1 X'(y - mean).
    """
    mean, predicted = np.empty_like(targets), np.empty_like(targets)
    few = len(features) < features.shape[1]
    fit = _few_rows(features, targets, ridge) if few else _many_rows(features, targets, ridge)
    for out in np.unique(fold):
        test = fold == out
        middle = (targets[~test].sum(axis=0) + start) / ((~test).sum() + 1)
        mean[test] = middle
        predicted[test] = middle + features[test] @ fit(test, middle)
    return mean, predicted


Fit = Callable[[Flags, Doubles], Doubles]


def _few_rows(features: Doubles, targets: Doubles, ridge: float) -> Fit:
    """Weights (d, t) by the rows' inner products: X'(XX' + ridge I)^-1 (y - mean)."""
    inner = features @ features.T + ridge * np.eye(len(features))

    def fit(test: Flags, middle: Doubles) -> Doubles:
        train = np.flatnonzero(~test)
        left = np.linalg.solve(inner[np.ix_(train, train)], targets[train] - middle)
        return np.asarray(features[train].T @ left, np.float64)

    return fit


def _many_rows(features: Doubles, targets: Doubles, ridge: float) -> Fit:
    """Weights (d, t) by the features' products, of which each fold takes its own away."""
    outer = features.T @ features + ridge * np.eye(features.shape[1])
    cross, total = features.T @ targets, features.sum(axis=0)

    def fit(test: Flags, middle: Doubles) -> Doubles:
        x, y = features[test], targets[test]
        rest = cross - x.T @ y - np.outer(total - x.sum(axis=0), middle)
        return np.asarray(np.linalg.solve(outer - x.T @ x, rest), np.float64)

    return fit
