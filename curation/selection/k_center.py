"""k-center: no sample of the pool is far from a selected one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from curation.selection.method import MethodConfig, Picked, Picker, SelectionContext, interleaved
from curation.selection.quantized_vectors import Lattice
from medsift.arrays import Doubles, Indices

_FEW: Final = 512
_ROWS: Final = 4096
_CELLS: Final = 1 << 24


class KCenterConfig(MethodConfig):
    """Farthest-first traversal of the joint vectors, one stratum at a time.

    Gonzalez 1985; as a core set, Sener and Savarese 2018 (arXiv 1708.00489): minimise
    max_i min_{j∈S} ‖x_i − x_j‖, at most twice the best value. It begins with the sample nearest to
    the stratum's mean, so that no chance decides. Outliers are far from everything: it takes them
    first. `gain` is the distance at which a sample was taken. Quality plays no part.
    """

    kind: Literal["k_center"] = "k_center"

    def picker(self, context: SelectionContext) -> Picker:
        """Traverse each group on its own, as tasks where the pool is large."""
        code = context.groups.code
        vectors = context.candidates.lattice

        def pick(counts: Indices) -> Picked:
            task = FarthestFirst(vectors, code, counts)
            return interleaved(context.spread(task, range(len(counts))))

        return pick


@dataclass(frozen=True, slots=True)
class FarthestFirst:
    """Traverses one group; picklable, and callable with the group's number."""

    vectors: Lattice
    code: Indices
    counts: Indices

    def __call__(self, group: int) -> Picked:
        """Places and distances of the group's centers."""
        members = np.flatnonzero(self.code == group)
        order, square = farthest_first(self.vectors.some(members), int(self.counts[group]))
        return Picked(members[order], np.sqrt(square) / self.vectors.scale)


def farthest_first(vectors: Lattice, count: int) -> tuple[Indices, Doubles]:
    """The first `count` rows of the traversal, and their squared distances when they were taken.

    Of equal distances the first row. Only the farthest rows are kept up to date with each new
    center, the others all at once when those have come near; distances only fall, so a row of the
    few that is farther than all others were is farther than they are.
    """
    if not count:
        return np.empty(0, np.int64), np.empty(0)
    squares = vectors.squares()
    order = [_central(vectors, squares)]
    nearest, taken = np.full(len(vectors), np.inf), [0.0]
    seen = 0
    while len(order) < count:
        nearest = _nearest(vectors, squares, nearest, np.array(order[seen:], np.int64))
        seen = len(order)
        nearest[order] = -1.0
        _take_farthest(vectors, squares, nearest, order, taken, count)
    return np.array(order, np.int64), np.array(taken)


def _central(vectors: Lattice, squares: Doubles) -> int:
    """The row nearest to the mean: it has the least |x|² − 2 x · mean. Whole numbers, exact."""
    total = vectors.points.sum(axis=0, dtype=np.float64)
    blocks = range(0, len(vectors), _ROWS)
    along = [vectors.points[start : start + _ROWS].astype(np.float64) @ total for start in blocks]
    return int(np.argmin(len(vectors) * squares - 2.0 * np.concatenate(along)))


def _nearest(vectors: Lattice, squares: Doubles, nearest: Doubles, centers: Indices) -> Doubles:
    """Squared distances (n,) to the nearest center so far and of `centers` (m,)."""
    step = max(1, _CELLS // len(vectors))
    for start in range(0, len(centers), step):
        square = vectors.distances(squares, centers[start : start + step])
        nearest = np.minimum(nearest, square.min(axis=1))
    return nearest


def _take_farthest(
    vectors: Lattice,
    squares: Doubles,
    nearest: Doubles,
    order: list[int],
    taken: list[float],
    count: int,
) -> None:
    """Take the farthest row, then rows of the farthest few that are farther than all others."""
    ranked = np.argsort(-nearest, kind="stable")
    few = np.sort(ranked[:_FEW])
    outside = float(nearest[ranked[_FEW]]) if len(ranked) > _FEW else -1.0
    some, norms, far = vectors.some(few), squares[few], nearest[few]
    best = int(np.argmax(far))
    while True:
        order.append(int(few[best]))
        taken.append(float(far[best]))
        far = np.minimum(far, some.distances(norms, np.array([best]))[:, 0])
        far[best] = -1.0
        best = int(np.argmax(far))
        if len(order) == count or far[best] <= outside:
            return
