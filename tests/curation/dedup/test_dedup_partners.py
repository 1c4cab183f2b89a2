"""The best partners of each picture, whatever the order in which pairs stream by."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.matching import candidate_pairs as partners
from curation.matching.candidate_pairs import GLANCE, Shortlisted
from curation.neighbors import Pairs

Line = tuple[int, int, float, float]


def shortlist(lines: list[Line], most: int, cuts: int) -> tuple[set[tuple[int, int]], int]:
    found = Shortlisted(most)
    for part in np.array_split(np.array(lines, dtype=object), cuts):
        left, right, similarity, glance = (part[:, place] for place in range(4))
        pairs = Pairs(left.astype(np.int64), right.astype(np.int64), similarity.astype(float))
        found.add(pairs, glance.astype(np.float32))
    left, right = found.best()
    return set(zip(left.tolist(), right.tolist(), strict=True)), found.left_out


def by_hand(lines: list[Line], most: int) -> set[tuple[int, int]]:
    """Sort each picture's candidates by each measure and take the first ones."""
    seen = [line for line in lines if np.float32(line[3]) >= GLANCE]
    best = set()
    for picture in range(20):
        mine = [line for line in seen if picture in line[:2]]
        for measure in (2, 3):
            rank = sorted(mine, key=lambda m: (-np.float32(m[measure]), m[0] + m[1] - picture))
            best |= {(line[0], line[1]) for line in rank[:most]}
    return best


@st.composite
def candidates(draw: st.DrawFn) -> list[Line]:
    names = draw(
        st.lists(st.tuples(st.integers(0, 19), st.integers(0, 19)), min_size=1, max_size=80)
    )
    pairs = sorted({(min(pair), max(pair)) for pair in names if pair[0] != pair[1]})
    # Halves and quarters, so that equal values are common.
    levels = st.sampled_from([0.5, 0.75, 0.8125, 0.875, 1.0])
    return [(a, b, draw(levels), draw(levels)) for a, b in pairs]


@given(candidates().filter(bool), st.integers(1, 4), st.integers(1, 5), st.randoms())
@settings(max_examples=80, deadline=None)
def test_the_best_of_either_picture_stay_in_any_order(lines, most, cuts, random) -> None:
    expected = by_hand(lines, most)
    random.shuffle(lines)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(partners, "PRUNE_AT", 3)
        found, left_out = shortlist(lines, most, cuts)
    assert found == expected
    assert left_out == sum(line[3] >= GLANCE for line in lines) - len(found)


def test_many_copies_of_one_picture_stay_connected() -> None:
    n = 60
    lines = [(a, b, 1.0, 1.0) for a in range(n) for b in range(a + 1, n)]
    found, _ = shortlist(lines, 2, 3)
    reached, edge = {0}, [0]
    while edge:
        here = edge.pop()
        new = {a + b - here for a, b in found if here in (a, b)} - reached
        reached |= new
        edge += new
    assert len(reached) == n
    assert len(found) < 4 * n
