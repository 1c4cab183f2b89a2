"""Keep what a search for copies found, so that the next one compares new pictures alone.

A pair of pictures that was compared needs no second look, and a pair that was not among the best
of either picture cannot become one when pictures are added: lists of best partners only get more
competitors. So the best pairs of old pictures are those that were the best before, and every other
pair has a new picture. With a picture gone that no longer holds, and the search is made anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curation.matching.candidate_pairs import PAIR, PairRecords
from medsift.arrays import Flags, Floats, Indices

COPY, MIRRORED, OTHER = 1, 2, 0


@dataclass(frozen=True, slots=True)
class BestPairs:
    """The best candidates of one kind of search, and how many others there were.

    `counted` pairs were near, `left_out` of them were not among the best of either picture.
    """

    pairs: PairRecords
    counted: int
    left_out: int

    @classmethod
    def empty(cls) -> BestPairs:
        """Return a search that found nothing."""
        return cls(np.empty(0, PAIR), 0, 0)


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What pixels said of compared pairs (p,): correlation of detail, and COPY, MIRRORED or OTHER.

    Pairs are sorted by (left, right), each once.
    """

    left: Indices
    right: Indices
    detail: Floats
    verdict: NDArray[np.int8]

    def look_up(self, left: Indices, right: Indices, n: int) -> Indices:
        """Return the place (p,) of pairs of n pictures among the verdicts, -1 for unknown ones."""
        keys = self.left * n + self.right
        wanted = left * n + right
        place = np.searchsorted(keys, wanted)
        known = np.append(keys, -1)[place] == wanted
        return np.where(known, place, -1)


@dataclass(frozen=True, slots=True)
class PictureSearch:
    """A finished search among pictures `ids` (n), sorted: pairs are places in that list.

    `by_cosine` is None where that search was approximate: its cells change with the pictures.
    """

    ids: list[str]
    by_hash: BestPairs
    by_cosine: BestPairs | None
    verdicts: Verdicts

    def among(self, ids: Sequence[str]) -> tuple[PictureSearch, Flags] | None:
        """Return the search in the numbers of other ids, sorted, and which of those are new (n,).

        None where a picture of the search is not among them.
        """
        names, old = np.asarray(ids, dtype=str), np.asarray(self.ids, dtype=str)
        place = np.searchsorted(names, old)
        if not len(names) or not np.array_equal(names[np.minimum(place, len(names) - 1)], old):
            return None
        new = np.ones(len(names), bool)
        new[place] = False
        # Both lists are sorted, so that the order of pairs and of their two ends stays.
        cosine = None if self.by_cosine is None else _renumbered(self.by_cosine, place)
        verdicts = Verdicts(
            place[self.verdicts.left],
            place[self.verdicts.right],
            self.verdicts.detail,
            self.verdicts.verdict,
        )
        moved = PictureSearch(list(ids), _renumbered(self.by_hash, place), cosine, verdicts)
        return moved, new


def _renumbered(best: BestPairs, place: Indices) -> BestPairs:
    pairs = best.pairs.copy()
    pairs["left"], pairs["right"] = place[pairs["left"]], place[pairs["right"]]
    return BestPairs(pairs, best.counted, best.left_out)
