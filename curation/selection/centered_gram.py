"""Pick the samples least alike to the rest of the pool on average: a centred Gram baseline."""

from __future__ import annotations

from typing import Final, Literal

import numpy as np

from curation.selection.method import MethodConfig, Picker, SelectionContext, pick_in_order
from curation.selection.quantized_vectors import QuantizedVectors
from medsift.arrays import Doubles

_ROWS_AT_A_TIME: Final = 1 << 14


class CenteredGramConfig(MethodConfig):
    """Settings of `centered_gram`: the lowest mean cosine to all other samples first.

    score_i = (Σ_j x_i · x_j − x_i · x_i) / (n − 1): the mean of row i of the Gram matrix of the
    joint vectors, its diagonal left out. After PRISM (Bi et al. 2025, arXiv 2502.12119), which
    centres the features of a model's pictures and keeps those that correlate least with the others.
    Here the vectors are the joint ones, which are centred as `graph.center` says, so that a
    pool without pictures has them too. `gain` is −score. Quality plays no part.
    """

    kind: Literal["centered_gram"] = "centered_gram"

    def depends_on_seed(self, samples: int) -> bool:
        """Return False: nothing is left to chance."""
        return False

    def picker(self, context: SelectionContext) -> Picker:
        """Order the pool once."""
        unlike = -mean_cosines(context.candidates.quantized)
        return pick_in_order(np.argsort(-unlike, kind="stable"), unlike, context.groups)


def mean_cosines(vectors: QuantizedVectors) -> Doubles:
    """Return each vector's mean cosine (n,) to all others, in O(n d) time and memory.

    A row of the Gram matrix sums to the product with the sum of all vectors: no (n, n) is made.
    """
    n = len(vectors)
    # Whole numbers: the sum is exact in any order, and so is every product with it below 2^53.
    total = vectors.points.sum(axis=0, dtype=np.float64)
    rows = np.empty(n)
    for start in range(0, n, _ROWS_AT_A_TIME):
        part = slice(start, start + _ROWS_AT_A_TIME)
        rows[part] = (vectors.points[part] * total).sum(axis=1)
    others = (rows - vectors.squared_norms()) / vectors.scale**2
    return np.asarray(others / max(1, n - 1), np.float64)
