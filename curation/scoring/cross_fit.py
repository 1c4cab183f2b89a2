"""Fit linear heads from pictures to what is said of them, and judge pictures they never saw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
from pydantic import Field

from curation.scoring.image_features import ImageFeatures, image_features
from curation.scoring.question_groups import NONE, QuestionGroups, group_questions
from curation.scoring.scorer import ScorerConfig, ScoringContext
from medsift.arrays import Doubles, Flags, Indices

CLASSES: Final = 256
"""Answers to a question that are learned, the commonest first; rarer ones are not judged."""
FLOOR: Final = 0.02
"""Least probability of an answer: a linear model also gives 0 and less, which nothing can mean."""


@dataclass(frozen=True, slots=True)
class AnswerOdds:
    """What pictures say about the answers given to n questions; NaN where nothing can be said.

    `seen` (n,) is the probability of the given answer for the question and the picture, `prior`
    (n,) for the question alone, `classes` (n,) the number of answers it could have been.
    """

    seen: Doubles
    prior: Doubles
    classes: Indices


class CrossFitConfig(ScorerConfig):
    """Settings of a scorer that judges answers by other pictures with the same question."""

    renamed_keys: ClassVar[Mapping[str, str]] = {
        "least": "min_group_size",
        "question": "question_cosine",
    }

    folds: int = Field(5, ge=2, le=100)
    """Parts of the pool that are judged by the rest in turn."""
    min_group_size: int = Field(10, ge=2)
    """Samples that must ask the same before their answers are compared."""
    question_cosine: float = Field(0.88, gt=0.0, le=1.0)
    """Cosine of question vectors from which wordings without a contrast mean the same."""
    ridge: float = Field(1.0, gt=0.0)
    """Strength of the prior of an answer, in pictures."""

    def fit(self, context: ScoringContext) -> tuple[ImageFeatures, AnswerOdds]:
        """Return the features of the pool's pictures, and the odds of its answers by them."""
        features = image_features(context.pool, self.folds, context.seed)
        groups = group_questions(context.pool, self.question_cosine)
        return features, answer_odds(features, groups, ridge=self.ridge, least=self.min_group_size)


def answer_odds(
    features: ImageFeatures, groups: QuestionGroups, *, ridge: float, least: int
) -> AnswerOdds:
    """Estimate each given answer's probability from other pictures with the same question.

    Ridge regression of the answers' indicators on the picture features (a linear probability
    model), fitted without the fold that is judged; estimates below `FLOOR` are lifted to it, and of
    a choice only the options offered compete.

    Args:
        features: Features and folds of the samples' pictures.
        groups: What the samples ask and answer.
        ridge: Strength of the prior, in pictures.
        least: Samples that must ask a question before its answers are judged.
    """
    n = len(groups.question)
    odds = AnswerOdds(np.full(n, np.nan), np.full(n, np.nan), np.zeros(n, np.int64))
    usable = (groups.question != NONE) & (groups.answer != NONE) & (features.number >= 0)
    rows = np.flatnonzero(usable)
    rows = rows[np.argsort(groups.question[rows], kind="stable")]
    _, starts = np.unique(groups.question[rows], return_index=True)
    for of_question in np.split(rows, starts[1:]):
        # In one fold nobody is left to judge by: that is no estimate, not an even chance.
        if len(of_question) >= least and np.ptp(features.fold[of_question]) > 0:
            _judge(of_question, features, groups, ridge, odds)
    return odds


def _judge(
    rows: Indices, features: ImageFeatures, groups: QuestionGroups, ridge: float, odds: AnswerOdds
) -> None:
    """Fill in the odds of the rows of one question."""
    labels, number, count = np.unique(groups.answer[rows], return_inverse=True, return_counts=True)
    # Answers are numbered anew, commonest first, so that the first `CLASSES` can be kept.
    commonest = np.argsort(-count, kind="stable")
    rank = np.empty(len(labels), np.int64)
    rank[commonest] = np.arange(len(labels))
    kept = rank[number] < CLASSES
    rows, number, labels = rows[kept], rank[number][kept], labels[commonest][:CLASSES]
    k, each = len(labels), np.arange(len(rows))
    offered = _offered(rows, labels, groups)
    indicators = np.eye(k)[number]
    prior, seen = held_out(
        features.take(rows), indicators, features.fold[rows], ridge, np.full(k, 1.0 / k)
    )
    odds.seen[rows] = _probabilities(seen, offered)[each, number]
    odds.prior[rows] = _probabilities(prior, offered)[each, number]
    options = np.array([len(groups.offered[row]) for row in rows.tolist()])
    # An answer that all agree on could still have been another one: there are two at least.
    odds.classes[rows] = np.maximum(np.where(options > 0, options, k), 2)


def _offered(rows: Indices, labels: Indices, groups: QuestionGroups) -> Flags:
    """Mark which answers (r, k) compete: those offered and the one given, or all without any."""
    column = {int(label): number for number, label in enumerate(labels)}
    offered = np.zeros((len(rows), len(labels)), bool)
    for number, row in enumerate(rows.tolist()):
        options = [column[option] for option in groups.offered[row] if option in column]
        offered[number, options or slice(None)] = True
        offered[number, column[int(groups.answer[row])]] = True
    return offered


def _probabilities(estimates: Doubles, offered: Flags) -> Doubles:
    lifted = np.where(offered, np.maximum(estimates, FLOOR), 0.0)
    return np.asarray(lifted / lifted.sum(axis=1, keepdims=True))


def held_out(
    features: Doubles, targets: Doubles, fold: Indices, ridge: float, start: Doubles
) -> tuple[Doubles, Doubles]:
    """Return mean (r, t) and ridge prediction (r, t) of each row's targets from other folds.

    Ridge regression of what the mean leaves (Hoerl and Kennard 1970):
    w = (X'X + ridge I)^-1 X'(y - mean).

    Args:
        features: Features (r, d) of the rows.
        targets: Targets (r, t) to predict.
        fold: Fold (r,) of each row; a row is predicted without its own.
        ridge: Strength of the penalty.
        start: Targets (t,) that the mean counts as one row more, so that an empty fold has a mean.
    """
    mean, predicted = np.empty_like(targets), np.empty_like(targets)
    n, d = features.shape
    # The smaller of two systems that give the same weights: by the rows' inner products,
    # X'(XX' + ridge I)^-1 (y - mean), or by those of the features, less the judged fold's own.
    products = features @ features.T if n < d else features.T @ features
    products += ridge * np.eye(len(products))
    cross, total = features.T @ targets, features.sum(axis=0)
    for judged in np.unique(fold):
        test = fold == judged
        middle = (targets[~test].sum(axis=0) + start) / ((~test).sum() + 1)
        if n < d:
            train = np.flatnonzero(~test)
            left = targets[train] - middle
            weights = features[train].T @ np.linalg.solve(products[np.ix_(train, train)], left)
        else:
            x, y = features[test], targets[test]
            left = cross - x.T @ y - np.outer(total - x.sum(axis=0), middle)
            weights = np.linalg.solve(products - x.T @ x, left)
        mean[test] = middle
        predicted[test] = middle + features[test] @ weights
    return mean, predicted
