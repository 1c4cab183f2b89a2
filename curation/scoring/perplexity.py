"""Score how surprising an answer is to a language model that has seen its question."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from curation.scoring.language import LanguageScorerConfig
from curation.scoring.scorer import ScoringContext
from medsift.arrays import Doubles


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
