"""Expect how often a group of replies to a question differs in reward: only then it teaches."""

from __future__ import annotations

from typing import Final

import numpy as np

from medsift.arrays import Doubles, Indices

PRIOR: Final = 0.5
"""Both parameters of Jeffreys' prior of a share."""


def expected_usefulness(correct: Indices, drawn: Indices, group: int) -> Doubles:
    """Return the probability (n,) that a group of replies is neither all right nor all wrong.

    With c of d replies right and Jeffreys' prior, the share p of right replies has the posterior
    Beta(a, b), a = c + 1/2, b = d - c + 1/2, and 1 - p^G - (1 - p)^G has the mean

        1 - B(a + G, b) / B(a, b) - B(a, b + G) / B(a, b).

    Args:
        correct: right replies (n,).
        drawn: replies (n,).
        group: replies G of the group.
    """
    a, b = correct + PRIOR, drawn - correct + PRIOR
    # B(a + G, b) / B(a, b) is the product of (a + i) / (a + b + i) over i below G.
    steps = np.arange(group)[:, None]
    whole = a + b + steps
    useful: Doubles = 1.0 - np.prod((a + steps) / whole, 0) - np.prod((b + steps) / whole, 0)
    return useful
