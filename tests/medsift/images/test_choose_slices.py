"""Samplers: what each rule takes, that nothing is taken twice, and what is refused."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medsift.images import ImageError
from medsift.images.volumes.choose_slices import choose_slices, parse_sampler


def chosen(rule: str, count: int, places: list[float] | None = None, at: str | None = None):
    return choose_slices(parse_sampler(rule), count, places, at, 64, "v")


@given(count=st.integers(1, 500), wanted=st.integers(1, 64))
def test_uniform_takes_the_middle_of_equal_parts(count: int, wanted: int) -> None:
    taken = chosen(f"uniform:{wanted}", count)
    assert len(taken) == min(count, wanted) == len(set(taken))
    assert taken == sorted(taken)
    # What is left at both ends differs by one slice at most.
    assert abs(taken[0] - (count - 1 - taken[-1])) <= 1


@given(step=st.floats(0.5, 20), spacing=st.floats(0.3, 10), count=st.integers(1, 30))
def test_every_leaves_no_distance_above_the_step_and_one_slice(step, spacing, count) -> None:
    places = [spacing * number - 40 for number in range(count)]
    taken = [places[at] for at in chosen(f"every:{step:.3f}mm", count, places)]
    assert taken[0] == places[0]
    gaps = [after - before for before, after in pairwise(taken)]
    assert all(gap <= step + spacing + 1e-6 for gap in gaps)
    assert all(gap >= step - spacing - 1e-6 for gap in gaps)


@given(count=st.integers(1, 40), width=st.integers(1, 9), at=st.integers(1, 40))
def test_around_holds_the_slice_and_stays_inside(count: int, width: int, at: int) -> None:
    if at > count:
        with pytest.raises(ImageError) as caught:
            chosen(f"around:z:{width}", count, None, str(at))
        assert caught.value.reason == "volume_slice_unknown"
        return
    taken = chosen(f"around:z:{width}", count, None, str(at))
    assert at - 1 in taken
    assert taken == list(range(taken[0], taken[0] + min(width, count)))
    assert chosen(f"around:{at}:{width}", count) == taken


def test_a_position_in_mm_names_the_nearest_slice() -> None:
    places = [-10.0, -7.5, -5.0, -2.5]
    assert chosen("around:z:1", 4, places, "-6 mm") == [2]
    assert chosen("around:z:1", 4, places, "-9.9mm") == [0]
    for at in ("20 mm", "2.5", "0", "abc", "", None):
        with pytest.raises(ImageError) as caught:
            chosen("around:z:1", 4, places, at)
        assert caught.value.reason == "volume_slice_unknown"


def test_middle_is_one_slice() -> None:
    assert chosen("middle", 5) == [2]
    assert chosen("middle", 1) == [0]


def test_more_slices_than_allowed_fail() -> None:
    with pytest.raises(ImageError) as caught:
        chosen("every:1mm", 100, [float(number) for number in range(100)])
    assert caught.value.reason == "volume_slices_too_many"


@pytest.mark.parametrize(
    "words", ["", "uniform", "uniform:0", "uniform:-1", "every:5", "every:0mm", "all", "around:"]
)
def test_other_words_are_no_sampler(words: str) -> None:
    with pytest.raises(ValueError, match="mm"):
        parse_sampler(words)
