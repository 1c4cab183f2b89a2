"""What a probe refuses in one line, and what it leaves out and counts, on small planted pools."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from curation.neighbors import NeighborsConfig
from curation.pool import GraphConfig, Pool, SampleVectors
from curation.pool.groups import Groups
from curation.probe.heap import Heap
from curation.probe.results import result_rows
from curation.probe.run_probe import ProbeInputs, ProbeRun, run_probe
from curation.probe.settings import ProbeConfig
from curation.selection.k_center import KCenterConfig
from curation.selection.method import Picked
from curation.selection.quality import Scores
from medsift import records
from medsift.execution import LocalExecutor
from tests.curation.selection.conftest import unit
from tests.expect import raises_code

N, PER_PICTURE = 120, 3
FEW = {"budgets": [0.2, 0.5], "draws": 4, "folds": 2, "min_groups": 3, "arms": ["k_center"]}


def planted(answers: list[str] | None = None, **vectors: np.ndarray) -> ProbeInputs:
    """Three questions on each of forty pictures, and no copies."""
    rng = np.random.default_rng(0)
    given = answers or [("yes", "no", "liver")[row] for row in rng.integers(0, 3, N)]
    lines = [
        {
            "sample_id": f"{row:04d}",
            "row_id": f"s:{row}",
            "source": "s",
            "modality": ("ct", "mr")[row % 2],
            "answer_type": "open",
            "question": f"what is {row}?",
            "answer": answer,
            "messages": [
                {"role": "user", "content": f"what is {row}?"},
                {"role": "assistant", "content": answer},
            ],
            "images": [f"picture {row // PER_PICTURE}"],
        }
        for row, answer in enumerate(given)
    ]
    parts = {name: unit(rng.standard_normal((N, 16))) for name in ("image", "question", "answer")}
    pool = Pool(
        samples=pa.Table.from_pylist(lines, records.SAMPLES),
        images=records.IMAGES.empty_table(),
        vectors=SampleVectors(**(parts | vectors), shared_space=False),
        mass=np.ones(N),
        strata=Groups.of([line["modality"] for line in lines]),
    )
    heap = Heap(pool, np.ones(N, bool), np.arange(N) // PER_PICTURE)
    return ProbeInputs(heap, Scores(None), GraphConfig(neighbors=4), NeighborsConfig())


def probed(inputs: ProbeInputs, **settings: Any) -> ProbeRun:
    config = ProbeConfig.model_validate(FEW | settings)
    done = run_probe(inputs, config, 0, LocalExecutor())
    # Whatever a probe returns can be summarised.
    assert list(result_rows(done.answers, config.margin, 0))
    return done


def of_rows(inputs: ProbeInputs, rows: np.ndarray) -> ProbeInputs:
    return replace(inputs, heap=inputs.heap.take(rows))


def test_a_pool_without_a_sample_to_train_on_is_refused() -> None:
    inputs = planted()
    heap = replace(inputs.heap, in_pool=np.zeros(N, bool))
    with raises_code("probe_pool_empty"):
        probed(replace(inputs, heap=heap))
    with raises_code("probe_pool_empty"):
        probed(of_rows(inputs, np.empty(0, np.int64)))


def test_a_class_of_one_sample_is_left_out_and_counted() -> None:
    answers = ["yes", "no"] * (N // 2)
    done = probed(planted(["rare one", *answers[1:]]))
    assert done.classes == ["no", "yes"]
    assert done.left_out == {"rare answer": 1}


def test_a_class_of_one_fold_alone_is_left_out_and_counted() -> None:
    answers = ["yes", "no"] * (N // 2)
    # Two groups give it, and both may come into one fold: any sample left out is counted.
    answers[0] = answers[PER_PICTURE] = "liver"
    for seed in range(8):
        config = ProbeConfig.model_validate(FEW | {"min_groups": 2})
        done = run_probe(planted(answers), config, seed, LocalExecutor())
        left_out = sum(done.left_out.values())
        assert done.answers.asked.num_rows + left_out == N
        assert done.left_out in ({}, {"answer of one fold": 2})


def test_a_single_answer_leaves_nothing_to_ask() -> None:
    with raises_code("probe_nothing_to_ask"):
        probed(planted(["yes"] * N))


def test_one_stratum_is_probed_as_any_pool() -> None:
    inputs = planted()
    pool = replace(inputs.heap.samples, strata=Groups.one(N))
    arms = ["k_center", "stratified_random", "facility_location", "cluster_temperature"]
    done = probed(replace(inputs, heap=replace(inputs.heap, samples=pool)), arms=arms)
    assert {cell.arm for cell in done.answers.cells} > set(arms)


@pytest.mark.parametrize(
    "learner", [{"kind": "kernel"}, {"kind": "network", "steps": 100, "hidden": 8, "seeds": 1}]
)
def test_samples_without_pictures_are_probed_by_their_questions(learner: dict[str, Any]) -> None:
    pictures = np.zeros((N, 16), np.float32)
    done = probed(planted(image=pictures), learner=learner, draws=2)
    assert done.answers.asked.num_rows == N


def test_samples_without_any_vector_are_left_out_and_counted() -> None:
    inputs = planted()
    vectors = inputs.heap.samples.vectors
    blank = np.arange(N) < 5
    image, question = (
        np.where(blank[:, None], np.float32(0.0), part)
        for part in (vectors.image, vectors.question)
    )
    done = probed(planted(image=image, question=question))
    assert done.left_out == {"no vector": 5}
    read_by_letters = planted(image=image, question=question)
    letters = np.zeros((N, 8), np.float32)
    letters[blank] = unit(np.random.default_rng(1).random((5, 8)))
    samples = read_by_letters.heap.samples
    seen = replace(samples, vectors=replace(samples.vectors, question_letters=letters))
    heap = replace(read_by_letters.heap, samples=seen)
    assert not probed(replace(read_by_letters, heap=heap)).left_out


def test_budgets_of_one_size_are_merged_and_named() -> None:
    done = probed(planted(), budgets=[0.01, 0.03, 0.2])
    [remark] = done.remarks
    assert "1 %" in remark
    budgets = {cell.budget for cell in done.answers.cells}
    assert 0.03 in budgets
    assert 0.01 not in budgets
    sizes = [cell.samples for cell in done.answers.cells if cell.arm == "random"]
    assert len(set(sizes)) == len(sizes)


def test_one_group_is_too_few_for_folds() -> None:
    inputs = planted()
    heap = replace(inputs.heap, group=np.zeros(N, np.int64))
    with raises_code("probe_nothing_to_ask"):
        # No answer is given by three groups.
        probed(replace(inputs, heap=heap))
    few = np.arange(N) % 3
    with raises_code("probe_folds_invalid", groups=3, folds=5):
        probed(replace(inputs, heap=replace(inputs.heap, group=few)), folds=5)


@pytest.mark.parametrize(
    "method", ["k_center", "deita", "cluster_temperature", "prototype_pruning", "facility_location"]
)
def test_equal_vectors_still_give_as_many_rows_as_asked(method: str) -> None:
    alike = np.tile(unit(np.ones((1, 16))), (N, 1))
    done = probed(planted(image=alike, question=alike, answer=alike), arms=[method])
    assert done.answers.cell(method, 0.5).samples == done.answers.cell("random", 0.5).samples


def test_a_method_that_gives_too_few_rows_is_refused_with_its_name(monkeypatch) -> None:
    def two_rows(self, context):
        return lambda counts: Picked(np.array([0, 0]), np.zeros(2))

    monkeypatch.setattr(KCenterConfig, "picker", two_rows)
    with raises_code("selection_short", method="k_center", picked=1) as refused:
        probed(planted())
    assert "k_center" in str(refused.value)


def targets(**settings: Any) -> dict[str, Any]:
    return {"arms": [{"name": "mine", "method": {"kind": "target", **settings}}]}


def test_targets_of_the_fold_that_is_asked_about_do_not_select() -> None:
    ids = [f"{row:04d}" for row in range(0, N, 10)]
    done = probed(planted(), **targets(sample_ids=ids))
    assert done.answers.cell("mine", 0.5).samples == 30


def test_targets_that_the_pool_lacks_are_refused() -> None:
    with raises_code("target_invalid", arm="mine"):
        probed(planted(), **targets(sample_ids=["0000", "nobody"]))
    with raises_code("target_invalid", targets=0) as refused:
        probed(planted(), **targets(where="modality = 'xray'"))
    assert "mine" in str(refused.value)
