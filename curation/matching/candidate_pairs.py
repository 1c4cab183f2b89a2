"""Keep the most promising partners of each picture while candidates stream by."""

from __future__ import annotations

import numpy as np

from curation.neighbors import Pairs
from medsift.arrays import Flags, Floats, Indices

# Correlation without registration. Of altered copies of VQA-RAD images 1 in 1,000 is below.
GLANCE = 0.75
PRUNE_AT = 4_000_000  # pairs, of 28 bytes each
PAIR = np.dtype([("left", "i8"), ("right", "i8"), ("similarity", "f8"), ("glance", "f4")])
PairRecords = np.ndarray[tuple[int], np.dtype[np.void]]


class Shortlisted:
    """Pairs among the `partners` best of either picture, by similarity or by glance.

    In a pool of one body part and one modality nearly all pairs are candidates; comparing a
    picture with its best ones keeps the work in proportion to the pictures. A family of more
    copies than that fills the lists of all its own: `Bridges` then finds what else they are near.
    The result does not depend on the order in which pairs come.
    """

    def __init__(self, partners: int) -> None:
        self.partners = partners
        self.left_out = 0
        self._parts = [np.empty(0, PAIR)]
        self._prune_at = PRUNE_AT

    def start_from(self, pairs: PairRecords, left_out: int) -> None:
        """Take the best pairs of an earlier list, and the number that it had left out."""
        self._parts.append(pairs)
        self.left_out += left_out

    def add(self, pairs: Pairs, glance: Floats) -> None:
        """Take pairs (p,) whose miniatures correlate by `glance` (p,); others are no candidates."""
        seen = np.flatnonzero(glance >= GLANCE)
        part = np.empty(len(seen), PAIR)
        part["left"], part["right"] = pairs.left[seen], pairs.right[seen]
        part["similarity"], part["glance"] = pairs.similarity[seen], glance[seen]
        self._parts.append(part)
        if sum(map(len, self._parts)) > self._prune_at:
            # What stays may be near the limit already: prune again when it has doubled.
            self._prune_at = max(PRUNE_AT, 2 * len(self._prune()))

    def best(self) -> tuple[Indices, Indices]:
        """Return the pairs to compare: left and right pictures (p,), (p,)."""
        pairs = self.kept()
        return pairs["left"], pairs["right"]

    def kept(self) -> PairRecords:
        """Return the pairs (p,) to compare, with their similarity and glance."""
        return self._prune()

    def _prune(self) -> PairRecords:
        """Drop pairs that are out of reach, as later ones can only push them further down."""
        pairs = np.concatenate(self._parts)
        best = self._best(pairs)
        self.left_out += int((~best).sum())
        self._parts = [pairs[best]]
        return self._parts[0]

    def _best(self, pairs: PairRecords) -> Flags:
        # Either measure alone loses copies: a crop moves the hash, a rotation the glance.
        best = np.zeros(len(pairs), bool)
        for value in ("similarity", "glance"):
            best |= _among_best(pairs["left"], pairs["right"], pairs[value], self.partners)
        return best


class Bridges(Shortlisted):
    """Pairs between groups (n,): the best of two groups, of the `partners` best of either group.

    A group counts as one picture does in `Shortlisted`, so that its own members, and the many
    pairs that it has with one other group, keep no third one out.
    """

    def __init__(self, partners: int, group: Indices) -> None:
        super().__init__(partners)
        self.group = group

    def add(self, pairs: Pairs, glance: Floats) -> None:
        """Take the pairs (p,) that are between two groups."""
        apart = self.group[pairs.left] != self.group[pairs.right]
        super().add(pairs.where(apart), glance[apart])

    def _best(self, pairs: PairRecords) -> Flags:
        groups = self.group[pairs["left"]], self.group[pairs["right"]]
        low, high = np.minimum(*groups), np.maximum(*groups)
        best = np.zeros(len(pairs), bool)
        for value in ("similarity", "glance"):
            order = np.lexsort((pairs["right"], pairs["left"], -pairs[value], high, low))
            first = np.ones(len(order), bool)
            first[1:] = (np.diff(low[order]) != 0) | (np.diff(high[order]) != 0)
            heads = order[first]
            near = _among_best(low[heads], high[heads], pairs[value][heads], self.partners)
            best[heads[near]] = True
        return best


def _among_best(
    left: Indices, right: Indices, value: np.ndarray[tuple[int], np.dtype[np.floating]], most: int
) -> Flags:
    """Return whether a pair (p,) is among the `most` highest of its left or its right picture."""
    rows, others = np.concatenate([left, right]), np.concatenate([right, left])
    # Equal values go by the other picture's number, so that the order of pairs decides nothing.
    order = np.lexsort((others, -np.concatenate([value, value]), rows))
    first = np.searchsorted(rows[order], rows[order], side="left")
    best = np.zeros(len(rows), bool)
    best[order] = np.arange(len(rows)) - first < most
    either: Flags = best[: len(left)] | best[len(left) :]
    return either
