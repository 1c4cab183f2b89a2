"""Score instruction-following difficulty: how hard an answer stays given its question."""

from __future__ import annotations

from typing import Literal

import numpy as np

from curation.scoring.language import AnswerLosses, LanguageScorerConfig
from curation.scoring.scorer import ScoringContext
from medsift.arrays import Doubles


class IfdConfig(LanguageScorerConfig):
    """Settings of `ifd`.

    Near 0 the question gives the answer away and there is little to learn; towards 1 it helps
    little, so that the sample is hard. Above 1 the answer is likelier without its question: the
    paper leaves such samples out as mismatched. Values are kept as they are, and a recipe that
    weighs `ifd` in `quality` takes them for the best: look at the share above 1 first.
    """

    kind: Literal["ifd"] = "ifd"

    def score(self, context: ScoringContext) -> Doubles:
        """IFD (n,) of each sample, NaN without question or answer."""
        return ratio(self.losses(context))


def ratio(losses: AnswerLosses) -> Doubles:
    """s(A|Q) / s(A) (n,), mean losses of an answer's tokens with and without its question.

    Li et al. 2023, "From Quantity to Quality" (arXiv 2308.12032). Nothing stands before the first
    token of an answer alone; here the heading of the assistant's turn does, so that both losses
    are of the same tokens and an answer of one token has an IFD too. NaN where s(A) is 0.
    """
    known = losses.direct > 0
    none = np.full(len(losses.direct), np.nan)
    found: Doubles = np.divide(losses.conditioned, losses.direct, out=none, where=known)
    return found
