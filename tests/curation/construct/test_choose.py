"""One trace is chosen for each sample, of middle length, within the shares, in any order."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.construct.choose import Candidate, Trace, choose_traces, middle_range
from curation.construct.new_samples import swap_reasoning
from curation.construct.settings import ConstructRecipe


def recipe(**more):
    teacher = {"url": "http://127.0.0.1:9/v1", "model": "t"}
    return ConstructRecipe.model_validate({"name": "n", "run": "r", "teacher": teacher} | more)


def candidate(name, lengths, solvable=False, correction=None):
    n = len(lengths)
    return Candidate(
        sample_id=name,
        lengths=tuple(lengths),
        kinds=("plain",) * n,
        numbers=tuple(range(n)),
        corrections=(correction,) * n,
        reasonings=tuple(f"{name} {at}" for at in range(n)),
        rungs=("exact",) * n,
        text_solvable=solvable,
        reason=None if n else "wrong",
    )


POOLS = st.lists(
    st.tuples(
        st.lists(st.integers(1, 200), max_size=4), st.booleans(), st.sampled_from([None, "joined"])
    ),
    max_size=30,
).map(lambda many: [candidate(f"s{at}", *one) for at, one in enumerate(many)])


@settings(deadline=None)
@given(POOLS, st.randoms(use_true_random=False), st.sampled_from([0.0, 0.1, 0.5, 1.0]))
def test_the_order_of_samples_changes_nothing_and_shares_hold(pool, random, share):
    wanted = recipe(blind={"share": share}, corrected_share=0.25)
    traces = choose_traces(pool, wanted)
    shuffled = random.sample(pool, len(pool))
    fates = {one.sample_id: one for one in choose_traces(shuffled, wanted)}
    assert [fates[one.sample_id] for one in traces] == traces
    assert [one.sample_id for one in traces] == [one.sample_id for one in pool]
    kept = [one for one in traces if one.action == "kept"]
    assert sum(bool(one.text_solvable) for one in kept) <= share * len(kept)
    assert sum(one.kind == "corrected" for one in kept) <= 0.25 * len(kept)
    for one, trace in zip(pool, traces, strict=True):
        if trace.action == "kept":
            assert trace.number in one.numbers
        else:
            assert trace.reason == ("text_solvable" if one.lengths else "wrong")


@settings(deadline=None)
@given(POOLS)
def test_the_shortest_of_middle_length_is_chosen_else_the_nearest(pool):
    lengths = [n for one in pool for n in one.lengths]
    low, high = middle_range(np.array(lengths, float))
    for one, trace in zip(pool, choose_traces(pool, recipe(corrected_share=0.0)), strict=True):
        if trace.action != "kept":
            continue
        inside = [n for n in one.lengths if low <= n <= high]
        if inside:
            assert trace.tokens == min(inside)
        else:
            away = [max(low - n, n - high) for n in one.lengths]
            assert max(low - trace.tokens, trace.tokens - high) == min(away)


def test_the_middle_range_is_median_and_median_deviation():
    assert middle_range(np.array([1.0, 2.0, 3.0, 4.0, 100.0])) == (2.0, 4.0)
    assert middle_range(np.array([])) == (0.0, 0.0)


@settings(deadline=None)
@given(st.lists(st.integers(1, 50), max_size=25))
def test_shuffled_reasoning_is_that_of_another_sample_of_a_near_length(lengths):
    traces = [Trace(f"s{at}", "kept", reasoning=f"r{at}", tokens=n) for at, n in enumerate(lengths)]
    swapped = swap_reasoning(traces)
    assert len(swapped) == (len(traces) if len(traces) > 1 else 0)
    if swapped:
        assert [one.sample_id for one in swapped] == [one.sample_id for one in traces]
        assert {one.reasoning for one in swapped} == {one.reasoning for one in traces}
        assert all(a.reasoning != b.reasoning for a, b in zip(swapped, traces, strict=True))
    # Partners are at most two places apart in the order of lengths.
    ranks = sorted(lengths)
    widest = max((b - a for a, b in zip(ranks, ranks[2:], strict=False)), default=50)
    assert all(abs(a.tokens - b.tokens) <= widest for a, b in zip(swapped, traces, strict=False))
