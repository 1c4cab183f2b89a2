"""Score which closed and choice answers other pictures with the same question contradict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final, Literal

import numpy as np
from pydantic import Field

from curation.matching.text_match import EXACT_ANSWERS
from curation.scoring.cross_fit import AnswerOdds, CrossFitConfig
from curation.scoring.scorer import ScoringContext
from medsift.arrays import Doubles

DECIMALS: Final = 6


class LabelNoiseConfig(CrossFitConfig):
    """Settings of `label_noise`: how likely the given answer is wrong, so lower is better."""

    higher_is_better: ClassVar[bool] = False
    renamed_keys: ClassVar[Mapping[str, str]] = {
        **CrossFitConfig.renamed_keys,
        "rate": "noise_rate",
    }

    kind: Literal["label_noise"]
    noise_rate: float = Field(0.05, gt=0.0, lt=1.0)
    """Share of wrong answers to expect before looking."""

    def score(self, context: ScoringContext) -> Doubles:
        """Return the probability (n,) that an answer is wrong, of closed and choice answers.

        Out-of-sample estimates judge given labels as in confident learning (Northcutt, Jiang and
        Chuang 2021, arXiv 1911.00068, section 3).
        """
        _, odds = self.fit(context)
        types = context.pool.samples["answer_type"].to_pylist()
        exact = np.array([kind in EXACT_ANSWERS for kind in types], bool)
        # Rounded, since sums differ in the last digits between machines.
        return np.where(exact, np.round(probability_wrong(odds, self.noise_rate), DECIMALS), np.nan)


def probability_wrong(odds: AnswerOdds, rate: float) -> Doubles:
    """Return the probability (n,) that the given answer is not the true one.

    By Bayes' rule when an answer is wrong with probability `rate` and then any of the other k - 1
    alike (symmetric noise): r(1 - p)/(k - 1) against (1 - r)p, where p is the probability of the
    answer for the picture. A picture that says nothing (p = 1/k) leaves `rate`.
    """
    wrong = rate * (1.0 - odds.seen) / np.maximum(odds.classes - 1, 1)
    right = (1.0 - rate) * odds.seen
    return np.asarray(wrong / (wrong + right))
