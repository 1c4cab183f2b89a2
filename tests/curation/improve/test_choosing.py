"""Samples of a round: within the counts of cells, near to failures, blind to their answers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from curation.improve.choosing import WITHOUT_ANSWER, Chooser
from curation.improve.improve import choose_from
from curation.improve.parts import TRAIN, VALIDATION, Material
from curation.pool.graph import joint_vectors
from curation.run_dir import open_run
from curation.selection.quantized_vectors import quantize
from curation.selection.quotas import QuotasConfig
from medsift.execution import LocalExecutor


@pytest.fixture(scope="module")
def material(cut) -> Material:
    return cut.material.take(TRAIN, VALIDATION)


@pytest.fixture(scope="module")
def chooser(material, run_dir, make_config) -> Chooser:
    return choose_from(open_run(run_dir), material, make_config(), LocalExecutor())


@pytest.fixture(scope="module")
def counts(chooser: Chooser) -> np.ndarray:
    return QuotasConfig().counts(chooser.candidates.strata, 40)


@pytest.fixture(scope="module")
def failures(material: Material) -> np.ndarray:
    return material.rows(VALIDATION)[::2]


def by_cell(chooser: Chooser, order) -> np.ndarray:
    strata = chooser.candidates.strata
    return np.bincount(strata.code[order], minlength=len(strata.names))


def test_each_cell_gets_its_count(chooser: Chooser, counts, failures) -> None:
    for chosen in (chooser.by_counts("a", counts), chooser.by_failures("b", counts, failures)):
        order = chosen.selection.order
        assert len(set(order.tolist())) == len(order) == counts.sum()
        np.testing.assert_array_equal(by_cell(chooser, order), counts)
        assert chosen.selection.weight.sum() == pytest.approx(chooser.candidates.mass.sum())


def test_targeted_samples_are_the_nearest_free_ones_of_their_cell(
    chooser: Chooser, material: Material, counts, failures
) -> None:
    """Brute force: failures of a cell take turns, each its nearest sample that is still free."""
    chosen = chooser.by_failures("b", counts, failures)
    order, target = chosen.selection.order, chosen.target
    both = material.pool.vectors.take(np.concatenate([chooser.rows, failures]))
    points = quantize(joint_vectors(both, WITHOUT_ANSWER)).points
    n, strata = len(chooser.rows), chooser.candidates.strata
    names = np.array(strata.names, dtype=object)
    free = np.ones(n, bool)
    free[order[target < 0]] = False
    for cell in range(len(names)):
        own = order[(target >= 0) & (strata.code[order] == cell)]
        asking = [
            place
            for place, row in enumerate(failures.tolist())
            if material.pool.strata[row] == names[cell]
        ]
        assert bool(len(own)) <= bool(asking)
        for turn, row in enumerate(own.tolist()):
            products = points[:n] @ points[n + asking[turn % len(asking)]]
            allowed = free & (strata.code == cell)
            best = np.flatnonzero(allowed)[np.argmax(products[allowed])]
            assert row == best
            free[row] = False


def test_the_answers_of_failures_change_nothing_in_what_is_selected(
    chooser: Chooser, material: Material, counts, failures
) -> None:
    pool = material.pool
    rng = np.random.default_rng(0)
    answer = pool.vectors.answer.copy()
    answer[failures] = rng.standard_normal((len(failures), answer.shape[1])).astype(np.float32)
    answer[failures] /= np.linalg.norm(answer[failures], axis=1, keepdims=True)
    texts = np.array(pool.samples["answer"].to_pylist(), dtype=object)
    texts[failures] = "something else"
    samples = pool.samples.set_column(
        pool.samples.schema.get_field_index("answer"), "answer", pa.array(texts, pa.string())
    )
    other = replace(pool, samples=samples, vectors=replace(pool.vectors, answer=answer))
    before = chooser.by_failures("b", counts, failures)
    after = replace(chooser, pool=other).by_failures("b", counts, failures)
    np.testing.assert_array_equal(after.selection.order, before.selection.order)
    np.testing.assert_array_equal(after.target, before.target)
    assert after.selection.fingerprint == before.selection.fingerprint


def test_without_failures_or_aim_the_method_picks_alone(chooser: Chooser, counts, failures) -> None:
    plain = chooser.by_counts("a", counts).selection.order
    none = chooser.by_failures("a", counts, failures[:0])
    np.testing.assert_array_equal(none.selection.order, plain)
    config = chooser.config.model_copy(update={"targeted": 0.0})
    blind = replace(chooser, config=config).by_failures("a", counts, failures)
    np.testing.assert_array_equal(blind.selection.order, plain)
    assert (blind.target == -1).all()
