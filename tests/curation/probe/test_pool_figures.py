"""The figures of a pool: redundancy, contradicted answers, evenness."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import entropy

from curation.pool import build_graph
from curation.probe.heap import load_heap
from curation.probe.pool_figures import (
    LEAST_JUDGED,
    PoolFigures,
    measure_doubts,
    pool_figures,
    read_doubts,
)
from curation.run_dir import FinishedRun, open_run
from curation.selection.method import Candidates
from medsift.execution import LocalExecutor
from medsift.manifest import query

RATE = 0.05


def wrong_by_bayes(probability: np.ndarray, rate: float) -> np.ndarray:
    """What `label_noise` says of answers that pictures give so much probability, of two."""
    return rate * (1 - probability) / (rate * (1 - probability) + (1 - rate) * probability)


@pytest.mark.parametrize("noise", [0.0, 0.1, 0.3])
@pytest.mark.parametrize("rate", [0.02, 0.05, 0.3])
def test_where_pictures_decide_a_third_of_the_questions_the_share_is_that_of_wrong_answers(
    noise, rate
) -> None:
    rng = np.random.default_rng(0)
    n = 12_000
    right = rng.random(n) >= noise
    # A third of the questions is decided by their pictures, the others hardly.
    certain = np.where(np.arange(n) % 3 == 0, rng.uniform(0.9, 0.99, n), 0.55)
    probability = np.where(right, certain, 1 - certain)
    doubts = measure_doubts(wrong_by_bayes(probability, rate), np.arange(n), rate)
    assert doubts.share == pytest.approx(noise, abs=0.02)
    assert doubts.low is not None
    assert doubts.high is not None
    assert doubts.low <= doubts.share <= doubts.high
    assert (doubts.n, doubts.judged) == (n // 4, n)


def test_hard_questions_alone_give_an_upper_bound() -> None:
    rng = np.random.default_rng(1)
    strength = rng.uniform(0.5, 0.65, 4000)
    probability = np.where(rng.random(4000) < strength, strength, 1 - strength)
    doubts = measure_doubts(wrong_by_bayes(probability, RATE), np.arange(4000), RATE)
    assert doubts.share is not None
    assert doubts.share > 0.2


@given(st.integers(0, LEAST_JUDGED - 1))
def test_too_few_judged_answers_say_nothing(count: int) -> None:
    doubts = measure_doubts(np.full(count, 0.5), np.arange(count), RATE)
    assert (doubts.share, doubts.low, doubts.high, doubts.judged) == (None, None, None, count)


def test_certain_answers_are_counted_not_divided_by_zero() -> None:
    wrong = np.repeat([0.0, 1.0], [150, 50])
    doubts = measure_doubts(wrong, np.arange(200), RATE)
    assert doubts.share is not None
    assert 0.0 <= doubts.share <= 1.0


@pytest.fixture(scope="module")
def run(phantom_run) -> FinishedRun:
    return open_run(phantom_run.manifest.parent)


@pytest.fixture(scope="module")
def figures(run: FinishedRun) -> PoolFigures:
    heap, engine = load_heap(run.upstream, run.recipe.strata), LocalExecutor()
    pool = heap.samples.take(np.flatnonzero(heap.in_pool))
    graph = build_graph(pool.vectors, run.recipe.graph, run.recipe.neighbors, engine.run)
    candidates = Candidates(pool, graph, run.recipe.graph, run.recipe.neighbors)
    return pool_figures(heap, candidates, read_doubts(run.upstream, run.recipe, heap), engine)


def test_rows_and_strata_are_those_of_the_manifest(run: FinishedRun, figures: PoolFigures) -> None:
    tags = ", ".join(f"coalesce({tag}, 'unknown')" for tag in run.recipe.strata)
    rows = query(
        Path(run.manifest),
        f"SELECT concat_ws(' / ', {tags}) AS stratum FROM samples "
        "JOIN rows USING (run_id, row_id) "
        "WHERE rows.action = 'kept' AND coalesce(samples.split, 'train') = 'train'",
    )
    sizes = list(Counter(rows["stratum"].to_pylist()).values())
    assert figures.samples == sum(sizes) < figures.rows
    assert (figures.strata, figures.smallest, figures.largest) == (
        len(sizes),
        min(sizes),
        max(sizes),
    )
    assert figures.effective_strata == pytest.approx(np.exp(entropy(sizes)))
    assert 0.0 < figures.evenness <= 1.0
    assert 0.1 < figures.coverage < 1.0


def test_a_run_without_the_score_has_no_doubts(run: FinishedRun) -> None:
    heap = load_heap(run.upstream, run.recipe.strata)
    recipe = run.recipe.model_copy(update={"scores": type(run.recipe.scores)()})
    assert read_doubts(run.upstream, recipe, heap) is None
