"""Batches: everyone's turn comes, budgets hold, and a position is nothing but a step number."""

from __future__ import annotations

from collections import Counter
from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.dataset.batches import Batch, BatchPlan, cost, systematic_resample
from training.recipe import BatchesConfig

LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=60)
CONFIGS = st.builds(
    BatchesConfig,
    max_tokens=st.integers(40, 200),
    max_samples=st.integers(1, 7),
    grouped=st.booleans(),
    packing=st.booleans(),
)


def plan(lengths, config=None, **settings) -> BatchPlan:
    given = {"seed": 3, "per_step": 2, "epochs": 1.0} | settings
    return BatchPlan(
        np.array(lengths), config or BatchesConfig(max_tokens=100, max_samples=4), **given
    )


def all_batches(one: BatchPlan) -> list[Batch]:
    return list(chain.from_iterable(one.batches(step) for step in range(one.steps)))


@settings(max_examples=60, deadline=None)
@given(lengths=LENGTHS, config=CONFIGS, epochs=st.integers(1, 3), per_step=st.integers(1, 5))
def test_an_epoch_sees_every_sample_once_within_the_budgets(lengths, config, epochs, per_step):
    one = plan(lengths, config, epochs=float(epochs), per_step=per_step)
    batches = all_batches(one)
    seen = Counter(place for batch in batches for place in batch.members)
    assert seen == {place: epochs for place in range(len(lengths))}
    for batch in batches:
        assert cost(batch, one.lengths) <= config.max_tokens
        assert 1 <= len(batch.members) <= config.max_samples
        assert len(batch.rows) == 1 or all(len(row) == 1 for row in batch.rows)


@settings(max_examples=30, deadline=None)
@given(lengths=LENGTHS, config=CONFIGS, world=st.integers(1, 4), per_step=st.integers(1, 5))
def test_workers_share_each_step_evenly_and_together_see_it_once(lengths, config, world, per_step):
    one = plan(lengths, config, epochs=2.0, per_step=per_step)
    for step in range(one.steps):
        shares = [one.share(step, rank, world) for rank in range(world)]
        assert len({len(share) for share in shares}) == 1
        counted = [batch for share in shares for batch in share if batch.counts]
        assert Counter(counted) == Counter(one.batches(step))


def test_any_step_is_found_without_the_steps_before_it():
    lengths = np.random.default_rng(0).integers(1, 50, 97)
    walked = [plan(lengths, epochs=4.0).batches(step) for step in range(20)]
    for step in reversed(range(20)):
        assert plan(lengths, epochs=4.0).batches(step) == walked[step]


def test_seed_and_epoch_change_the_order():
    lengths = np.random.default_rng(0).integers(1, 50, 97)
    first = plan(lengths, epochs=2.0)
    batches = all_batches(first)
    size = len(all_batches(plan(lengths, epochs=1.0)))
    assert set(batches[:size]) != set(batches[size:])
    assert all_batches(plan(lengths, epochs=2.0, seed=4)) != batches


def test_steps_and_parts_of_epochs():
    lengths = np.full(32, 10)
    assert len(all_batches(plan(lengths, epochs=1.0))) == 8
    assert len(all_batches(plan(lengths, epochs=0.5))) == 4
    assert len(all_batches(plan(lengths, epochs=2.5))) == 20
    counted = plan(lengths, epochs=None, wanted_steps=7)
    assert counted.steps == 7
    assert len(all_batches(counted)) == 14
    assert counted.epoch(4) == 1.0
    assert counted.epoch(6) == 1.5


def test_grouping_saves_padding_and_the_costliest_batch_leads():
    lengths = np.random.default_rng(0).integers(5, 100, 200)
    padding = {}
    for grouped in (True, False):
        config = BatchesConfig(max_tokens=400, max_samples=8, grouped=grouped)
        batches = all_batches(plan(lengths, config))
        costs = [cost(batch, lengths) for batch in batches]
        padding[grouped] = sum(costs) - lengths.sum()
        assert costs[0] == max(costs)
    assert padding[True] < 0.2 * padding[False]


def test_packed_rows_are_nearly_full():
    lengths = np.random.default_rng(0).integers(5, 60, 400)
    config = BatchesConfig(max_tokens=400, max_samples=64, packing=True)
    batches = all_batches(plan(lengths, config))
    assert lengths.sum() / (400 * len(batches)) > 0.95


@settings(max_examples=60, deadline=None)
@given(odds=st.lists(st.floats(0.01, 10.0), min_size=1, max_size=30), seed=st.integers(0, 99))
def test_draws_follow_their_odds_to_within_one(odds, seed):
    found = systematic_resample(np.array(odds), 50, np.random.default_rng(seed))
    expected = 50 * np.array(odds) / np.sum(odds)
    counts = np.bincount(found, minlength=len(odds))
    assert counts.sum() == 50
    assert (counts >= np.floor(expected - 1e-6)).all()
    assert (counts <= np.ceil(expected + 1e-6)).all()


def test_sampling_draws_an_epoch_anew_each_time():
    lengths, odds = np.full(40, 10), np.r_[np.full(20, 3.0), np.full(20, 1.0)]
    one = plan(lengths, odds=odds, epochs=8.0)
    seen = Counter(place for batch in all_batches(one) for place in batch.members)
    assert sum(seen.values()) == 320
    heavy = sum(seen[place] for place in range(20))
    assert heavy == pytest.approx(240, abs=8)
    assert min(seen.values()) >= 1
