"""The budget `auto`: the smallest size that a probe shows to be enough, on pools of known worth."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.neighbors import NeighborsConfig
from curation.pool import GraphConfig, Pool, SampleVectors
from curation.pool.groups import Groups
from curation.probe.enough import SHARES, Enough, find_enough, probe_of, smallest_enough
from curation.probe.heap import Heap
from curation.probe.run_probe import ProbeInputs
from curation.selection.config import SelectionConfig
from curation.selection.quality import Scores
from medsift import records
from medsift.execution import LocalExecutor
from tests.expect import raises_code

ANSWERS = ("ct", "mr", "xray", "ultrasound")


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def planted(concepts: int, repeats: int, seed: int = 0, spread: float = 0.02) -> ProbeInputs:
    """Concepts that nothing else teaches, each shown by so many near-equal pictures.

    Every picture is a group of its own, so that a concept is asked about where others of its
    pictures were trained on.
    """
    rng = np.random.default_rng(seed)
    concept = np.repeat(np.arange(concepts), repeats)
    n = len(concept)
    image = unit(np.eye(concepts)[concept] + spread * rng.normal(size=(n, concepts)))
    question = np.eye(2, dtype=np.float32)[concept % 2]
    answer = rng.integers(0, len(ANSWERS), concepts)[concept]
    samples = pa.Table.from_pylist(
        [
            {
                "sample_id": f"s{row:05d}",
                "row_id": f"s:f:{row}",
                "source": "s",
                "question": "What is it?",
                "answer": ANSWERS[answer[row]],
                "messages": [
                    {"role": "user", "content": "What is it?"},
                    {"role": "assistant", "content": ANSWERS[answer[row]]},
                ],
                "images": [f"image {row}"],
            }
            for row in range(n)
        ],
        records.SAMPLES,
    )
    pool = Pool(
        samples=samples,
        images=records.IMAGES.empty_table(),
        vectors=SampleVectors(image, question, question, shared_space=False),
        mass=np.ones(n),
        strata=Groups.of(["all"] * n),
    )
    heap = Heap(pool, np.ones(n, bool), np.arange(n))
    return ProbeInputs(heap, Scores(None), GraphConfig(neighbors=8), NeighborsConfig())


def selection(**settings: Any) -> SelectionConfig:
    return SelectionConfig.model_validate({"name": "small", "budget": "auto", **settings})


def enough(inputs: ProbeInputs, executor: Any = None, **settings: Any) -> Enough:
    return find_enough(inputs, selection(**settings), 0, "pool", executor or LocalExecutor())


@pytest.fixture(scope="module")
def redundant() -> Enough:
    return enough(planted(40, 10))


def test_of_ten_pictures_of_each_concept_about_one_is_enough(redundant: Enough) -> None:
    # A probe is trained on three quarters of the pool, where a concept has 7.5 pictures.
    assert 1 / 10 <= redundant.share <= 2 / 10
    assert redundant.size(400) == round(400 * redundant.share)


def test_of_four_pictures_of_each_concept_about_one_is_enough() -> None:
    assert 1 / 4 <= enough(planted(100, 4, seed=1)).share <= 2 / 4


def test_a_method_that_misses_concepts_at_every_size_has_no_share_that_is_enough() -> None:
    with raises_code("auto_budget_not_shown", selection="small", budget=max(SHARES)) as caught:
        enough(planted(200, 2), method={"kind": "random"})
    assert caught.value.values["full_high"] < -0.02


def test_a_pool_from_which_a_probe_learns_nothing_shows_nothing() -> None:
    """Every size would be as good as all rows."""
    inputs = planted(40, 10)
    samples = inputs.heap.samples.samples
    shuffled = np.random.default_rng(3).permutation(len(samples))
    place = samples.schema.names.index("answer")
    rows = samples.set_column(place, "answer", samples["answer"].take(pa.array(shuffled)))
    heap = replace(inputs.heap, samples=replace(inputs.heap.samples, samples=rows))
    with raises_code("auto_budget_not_learned") as caught:
        enough(replace(inputs, heap=heap))
    assert caught.value.values["low"] <= caught.value.values["majority"] < 0.5


def test_the_curve_is_stored_and_the_explanation_has_its_figures(redundant: Enough) -> None:
    arm = [row for row in redundant.probe.overall if row["arm"] == "small"]
    assert sorted(row["budget"] for row in arm) == list(SHARES)
    [chosen] = [row for row in arm if row["budget"] == redundant.share]
    assert chosen["non_inferiority"] == "non-inferior"
    assert chosen["full_low"] > -0.02
    assert f"{100 * redundant.share:g} % of the pool" in redundant.explanation
    assert f"({-100 * chosen['full_high'] + 0.0:.1f} to {-100 * chosen['full_low']:.1f})" in (
        redundant.explanation
    )
    [line] = redundant.probe.runs.to_pylist()
    assert json.loads(line["settings"])["margin"] == 0.02
    assert line["seconds"] > 0


def test_how_trainings_are_spread_changes_nothing(redundant: Enough) -> None:
    class Backwards(LocalExecutor):
        def run(self, function, items):
            return reversed([function(item) for item in reversed(list(items))])

    again = enough(planted(40, 10), Backwards())
    assert again.probe.results.equals(redundant.probe.results)
    assert (again.share, again.probe.probe_id) == (redundant.share, redundant.probe.probe_id)


def test_progress_counts_every_cell() -> None:
    done: list[int] = []
    wide = selection(budget="auto:0.1")
    find_enough(planted(20, 8), wide, 0, "pool", LocalExecutor(), done.append)
    assert done == list(range(1, len(done) + 1))
    # Of 120 samples to train on, one per cent and two per cent are two samples.
    assert probe_of(wide).cells - len(done) in (0, 3 * probe_of(wide).folds)


@pytest.mark.parametrize("name", ["random", "full"])
def test_a_selection_may_have_the_name_of_a_baseline(name: str) -> None:
    found = enough(planted(20, 8), name=name, budget="auto:0.1")
    assert {"random", f"{name}_selection"} < {row["arm"] for row in found.probe.overall}


def test_a_pool_whose_answers_do_not_repeat_is_refused_before_any_training() -> None:
    inputs = planted(20, 8)
    samples = inputs.heap.samples.samples
    own = pa.array([f"an answer of row {row}" for row in range(len(samples))])
    place = samples.schema.names.index("answer")
    most = np.where(np.arange(len(samples)) % 5 > 0, own, samples["answer"].to_numpy())
    for answers, asked in ((own, 0), (pa.array(most.tolist()), 32)):
        rows = samples.set_column(place, "answer", answers)
        heap = replace(inputs.heap, samples=replace(inputs.heap.samples, samples=rows))
        with raises_code("auto_budget_not_askable", asked=asked, pool=160) as caught:
            enough(replace(inputs, heap=heap))
        assert "coverage:0.9" in str(caught.value)


def test_fewer_groups_than_folds_are_refused() -> None:
    inputs = planted(20, 8)
    heap = replace(inputs.heap, group=inputs.heap.group % 5)
    few = replace(inputs, heap=replace(heap, group=heap.group % 3))
    with raises_code("auto_budget_not_askable"):
        enough(few)


VERDICTS = st.sampled_from(["non-inferior", "inconclusive", "inferior"])


@given(st.dictionaries(st.integers(1, 99), VERDICTS, min_size=1, max_size=12), st.randoms())
def test_the_size_is_the_smallest_from_which_on_every_size_is_non_inferior(table, rng) -> None:
    curve = [{"budget": size / 100, "non_inferiority": verdict} for size, verdict in table.items()]
    rng.shuffle(curve)
    found = smallest_enough(curve)
    enough_from = [
        size
        for size in table
        if all(verdict == "non-inferior" for other, verdict in table.items() if other >= size)
    ]
    assert (None if found is None else found["budget"]) == (
        min(enough_from) / 100 if enough_from else None
    )


def test_testing_from_the_largest_size_down_errs_as_rarely_as_one_test() -> None:
    """Sizes that lose exactly the margin are claimed in 2.5 % of trials, however many there are."""
    rng = np.random.default_rng(4)
    trials, sizes = 4000, 12
    # Estimates of neighbouring sizes come from the same samples, so that their errors go together.
    errors = 0.8 * rng.normal(size=(trials, 1)) + 0.6 * rng.normal(size=(trials, sizes))
    shown = errors > 1.96

    def claims(row: np.ndarray) -> bool:
        verdicts = np.where(row, "non-inferior", "inconclusive").tolist()
        curve = [{"budget": size, "non_inferiority": said} for size, said in enumerate(verdicts)]
        return smallest_enough(curve) is not None

    rate = np.mean([claims(row) for row in shown])
    assert rate == pytest.approx(0.025, abs=0.01)
    assert shown.any(axis=1).mean() > 3 * rate
