"""Score an answer by a language model's losses: with its question, and against those without."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from curation.scoring.language import AnswerLosses, LanguageScorerConfig
from curation.scoring.scorer import ScoringContext
from medsift.arrays import Doubles


class IfdConfig(LanguageScorerConfig):
    """Settings of `ifd`.

    Near 0 the question gives the answer away and there is little to learn; towards 1 it helps
    little, so that the sample is hard. Above 1 the answer is likelier without its question: the
    paper leaves such samples out as mismatched. Values are not cut off at 1, and a recipe that
    weighs `ifd` in `quality` takes them for the best: look at the share above 1 first.
    """

    kind: Literal["ifd"] = "ifd"

    def score(self, context: ScoringContext) -> Doubles:
        """Return the IFD (n,) of each sample, NaN without question or answer."""
        return difficulty(self.losses(context))


def difficulty(losses: AnswerLosses) -> Doubles:
    """Return s(A|Q) / s(A) (n,), an answer's mean losses with and without its question.

    Li et al. 2023, "From Quantity to Quality" (arXiv 2308.12032). NaN where s(A) is 0.
    """
    # In the paper nothing precedes the first token of an answer alone; here the heading of the
    # assistant's turn does, so that both losses are of the same tokens and an answer of one token
    # has an IFD too.
    none = np.full(len(losses.direct), np.nan)
    ratio = np.divide(losses.conditioned, losses.direct, out=none, where=losses.direct > 0)
    return np.asarray(ratio, np.float64)


class PerplexityConfig(LanguageScorerConfig):
    """Settings of `perplexity`.

    Garbled and mismatched answers are surprising, and so are rare true ones; `quality` takes the
    less surprising for the better.
    """

    higher_is_better: ClassVar[bool] = False
    kind: Literal["perplexity"] = "perplexity"

    def score(self, context: ScoringContext) -> Doubles:
        """Return exp (n,) of an answer's mean loss given its question; NaN without either."""
        return np.asarray(np.exp(self.losses(context).conditioned), np.float64)
