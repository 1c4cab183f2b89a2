"""Pick centers so that no sample of the pool is far from one: k-center."""

from __future__ import annotations

from functools import partial
from typing import Final, Literal

import numpy as np

from curation.selection.method import MethodConfig, Picked, Picker, SelectionContext, interleave
from curation.selection.quantized_vectors import QuantizedVectors
from medsift.arrays import Doubles, Indices

FEW: Final = 512
"""Farthest rows whose distances are kept up to date with each new center."""
_ROWS_AT_A_TIME: Final = 4096
_CELLS_AT_A_TIME: Final = 1 << 24


class KCenterConfig(MethodConfig):
    """Settings of `k_center`: farthest-first traversal of the joint vectors of each stratum.

    Gonzalez 1985; as a core set, Sener and Savarese 2018 (arXiv 1708.00489): minimise
    max_i min_{j∈S} ‖x_i − x_j‖, at most twice the best value. It begins with the sample nearest to
    the stratum's mean, so that no chance decides. Outliers are far from everything: it takes them
    first. `gain` is the distance at which a sample was taken. Quality plays no part.
    """

    kind: Literal["k_center"] = "k_center"

    def depends_on_seed(self, samples: int) -> bool:
        """Return False: nothing is left to chance."""
        return False

    def picker(self, context: SelectionContext) -> Picker:
        """Traverse each group on its own, as tasks where the pool is large."""
        code, vectors = context.groups.code, context.candidates.quantized

        def pick(counts: Indices) -> Picked:
            task = partial(pick_centers, vectors, code, counts)
            return interleave(context.spread(task, range(len(counts))))

        return pick


def pick_centers(vectors: QuantizedVectors, code: Indices, counts: Indices, group: int) -> Picked:
    """Return one group's centers with their distances.

    Args:
        vectors: The joint vectors (n, d) of all samples.
        code: Number of each sample's group (n,).
        counts: How many centers each group (g,) gets.
        group: Number of the group to pick from.
    """
    members = np.flatnonzero(code == group)
    order, squares = farthest_first(vectors.take(members), int(counts[group]))
    return Picked(members[order], np.sqrt(squares) / vectors.scale)


def farthest_first(vectors: QuantizedVectors, count: int) -> tuple[Indices, Doubles]:
    """Return the first `count` rows of the traversal, and their squared distances when taken.

    Of equal distances the first row is taken.
    """
    if not count:
        return np.empty(0, np.int64), np.empty(0)
    squares = vectors.squared_norms()
    order = [_central(vectors, squares)]
    nearest, taken_at = np.full(len(vectors), np.inf), [0.0]
    updated = 0
    while len(order) < count:
        centers = np.array(order[updated:], np.int64)
        step = max(1, _CELLS_AT_A_TIME // len(vectors))
        for start in range(0, len(centers), step):
            square = vectors.squared_distances(squares, centers[start : start + step])
            nearest = np.minimum(nearest, square.min(axis=1))
        updated = len(order)
        # Below every distance: a center is never taken again, even next to its copies at 0.
        nearest[order] = -1.0
        _take_farthest(vectors, squares, nearest, order, taken_at, count)
    return np.array(order, np.int64), np.array(taken_at)


def _central(vectors: QuantizedVectors, squares: Doubles) -> int:
    """Return the row nearest to the mean."""
    # |x - mean|² is least where n |x|² - 2 x · sum is: whole numbers, so that ties are exact.
    total = vectors.points.sum(axis=0, dtype=np.float64)
    along = np.concatenate(
        [
            vectors.points[start : start + _ROWS_AT_A_TIME].astype(np.float64) @ total
            for start in range(0, len(vectors), _ROWS_AT_A_TIME)
        ]
    )
    return int(np.argmin(len(vectors) * squares - 2.0 * along))


def _take_farthest(
    vectors: QuantizedVectors,
    squares: Doubles,
    nearest: Doubles,
    order: list[int],
    taken_at: list[float],
    count: int,
) -> None:
    """Take the farthest row, then those of the farthest few that are farther than all others."""
    ranked = np.argsort(-nearest, kind="stable")
    # Ascending rows, so that argmax takes the first row of equal distances.
    few = np.sort(ranked[:FEW])
    # Distances only fall: one of the few that is still farther than the farthest of all others
    # was, is farther than they are now, and the others need no update.
    outside = float(nearest[ranked[FEW]]) if len(ranked) > FEW else -1.0
    part, norms, far = vectors.take(few), squares[few], nearest[few]
    best = int(np.argmax(far))
    while True:
        order.append(int(few[best]))
        taken_at.append(float(far[best]))
        far = np.minimum(far, part.squared_distances(norms, np.array([best]))[:, 0])
        far[best] = -1.0
        best = int(np.argmax(far))
        # At equality one of the others may be the first row: it is decided with new distances.
        if len(order) == count or far[best] <= outside:
            return
