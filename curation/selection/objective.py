"""Define what a sample is worth by the values that picked samples give it."""

from __future__ import annotations

from typing import Final, Protocol

import numpy as np

from medsift.arrays import Indices, Narrow


class Objective(Protocol):
    """What a sample is worth by the values that the picked rows give it; the worth only rises.

    It is a whole number, and adds the less the better the sample is served already: the sum over
    samples is then monotone and submodular, which `greedy` relies on to the last unit.
    """

    def worth(self, served: Narrow, value: Narrow) -> Narrow | Indices:
        """Return what values (e,) would add to samples that are served at `served` (e,)."""
        ...

    def serve(self, served: Narrow, value: Narrow) -> Narrow:
        """Return how samples are served (e,) once they have these values too."""
        ...


class BestValue:
    """The worth of a sample is the greatest value: facility location."""

    def worth(self, served: Narrow, value: Narrow) -> Narrow:
        """Return by how much each value is above what serves its sample already."""
        raised: Narrow = np.maximum(value - served, 0)
        return raised

    def serve(self, served: Narrow, value: Narrow) -> Narrow:
        """Return the greater value of the two."""
        greater: Narrow = np.maximum(served, value)
        return greater


BEST_VALUE: Final = BestValue()
