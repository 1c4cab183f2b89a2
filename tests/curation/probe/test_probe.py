"""A probe of a finished run: what it compares, stores and refuses."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from curation.probe.heap import load_heap
from curation.probe.page import write_probe_page
from curation.probe.probe import ProbeResult, probe
from curation.probe.results import result_rows
from curation.probe.run_probe import ProbeInputs, ProbeRun, run_probe
from curation.probe.settings import ProbeConfig, load_probe_settings
from curation.probe.trainings import ProbeTrainer
from curation.run_dir import open_run
from curation.selection.load_inputs import read_scores
from medsift.execution import LocalExecutor
from medsift.leakage_groups import components
from medsift.manifest import query
from tests.expect import raises_code

FEW = {"budgets": [0.2, 0.5], "draws": 4, "folds": 2, "min_groups": 3, "spread_above": 0}


def settings(*arms: str, **more) -> ProbeConfig:
    return ProbeConfig.model_validate({**FEW, "arms": list(arms or ("facility_location",)), **more})


@pytest.fixture(scope="module")
def run_dir(phantom_run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the run that probes may add to."""
    return shutil.copytree(phantom_run.manifest.parent, tmp_path_factory.mktemp("probe") / "run")


@pytest.fixture(scope="module")
def result(run_dir: Path) -> ProbeResult:
    return probe(run_dir, settings("facility_location", "stratified_random"))


@pytest.fixture(scope="module")
def inputs(run_dir: Path) -> ProbeInputs:
    run = open_run(run_dir)
    heap = load_heap(run.upstream, run.recipe.strata)
    return ProbeInputs(heap, read_scores(run.upstream), run.recipe.graph, run.recipe.neighbors)


def answered(inputs: ProbeInputs, config: ProbeConfig, executor=None) -> ProbeRun:
    return run_probe(inputs, config, 0, executor or LocalExecutor())


def test_the_manifest_has_every_cell_with_its_interval(result: ProbeResult) -> None:
    rows = query(
        result.manifest,
        f"FROM probe_results WHERE probe_id = '{result.probe_id}' AND facet = 'all'",
    ).to_pylist()
    cells = {(row["arm"], row["budget"]) for row in rows}
    asked = {0.2, 0.5}
    assert {cell for cell in cells if cell[0] == "facility_location"} == {
        ("facility_location", budget) for budget in asked
    }
    assert asked < {budget for arm, budget in cells if arm == "random"}
    assert ("full", 1.0) in cells
    for row in rows:
        assert row["low"] <= row["accuracy"] <= row["high"]
        assert row["n"] == result.asked
        assert row["clusters"] == result.clusters
        assert (row["random_difference"] is None) == (row["arm"] in ("random", "full"))
        assert (row["efficiency"] is None) == (row["arm"] in ("random", "full"))
    [run] = query(result.manifest, "FROM probe_runs").to_pylist()
    assert run["verdict"] == result.verdict
    assert run["pool"] == result.pool


def test_arms_are_compared_with_the_one_that_versus_names(inputs: ProbeInputs) -> None:
    run = answered(inputs, settings("facility_location", "k_center", versus="k_center"))
    rows = list(result_rows(run.answers, 0.02, 0, "k_center"))
    assert {(row["arm"], row["budget"]) for row in rows if "versus_low" in row} == {
        (arm, budget)
        for arm in ("facility_location", "random", "dedup_random")
        for budget in (0.2, 0.5)
    }
    # The difference to an arm is the same one from either side.
    [there] = [row for row in rows if _is(row, "k_center", 0.2)]
    [back] = [row for row in rows if _is(row, "random", 0.2)]
    assert back["versus_difference"] == pytest.approx(-there["random_difference"])
    assert back["versus_low"] == pytest.approx(-there["random_high"])


def _is(row: dict, arm: str, budget: float) -> bool:
    return (row["arm"], row["budget"], row["facet"]) == (arm, budget, "all")


def test_a_probe_with_equal_settings_replaces_the_earlier_one(
    run_dir: Path, result: ProbeResult
) -> None:
    again = probe(run_dir, settings("facility_location", "stratified_random"))
    assert again.table.equals(result.table)
    assert query(result.manifest, "FROM probe_runs").num_rows == 1


def test_the_seed_of_a_probe_is_the_recipes_unless_it_names_one(
    run_dir: Path, result: ProbeResult
) -> None:
    named = probe(run_dir, settings("facility_location", "stratified_random", seed=0))
    assert named.probe_id == result.probe_id
    assert named.table.equals(result.table)
    other = probe(run_dir, settings("facility_location", "stratified_random", seed=1))
    assert other.probe_id != result.probe_id
    stored = query(result.manifest, "SELECT probe_id, seed FROM probe_runs").to_pylist()
    assert {line["probe_id"]: line["seed"] for line in stored} == {
        result.probe_id: 0,
        other.probe_id: 1,
    }


def test_no_sample_is_asked_by_a_probe_that_saw_its_picture_or_patient(
    inputs: ProbeInputs,
) -> None:
    heap = inputs.heap.samples
    seen: list[tuple[np.ndarray, np.ndarray]] = []

    class Recording(LocalExecutor):
        def run(self, function, items):
            items = list(items)
            if items and hasattr(items[0], "subsets"):
                group = function.group
                seen.extend(
                    (group[rows], group[item.asked]) for item in items for rows in item.subsets
                )
            return super().run(function, items)

    run = answered(inputs, settings("k_center"), Recording())
    assert seen
    for trained, asked in seen:
        assert not np.intersect1d(trained, asked).size
    # Groups connect copies, cases and patients over the whole heap.
    groups = components(heap.samples, heap.images, "patient")
    assert run.answers.asked.num_rows == len(set(run.answers.asked["sample_id"].to_pylist()))
    assert len(np.unique(run.answers.cluster)) <= len(np.unique(groups))


def test_a_copy_is_of_the_group_of_the_row_that_it_was_dropped_for(
    inputs: ProbeInputs, run_dir: Path
) -> None:
    heap = inputs.heap
    group = dict(zip(heap.samples.samples["row_id"].to_pylist(), heap.group.tolist(), strict=True))
    dropped = query(
        run_dir / "manifest.duckdb",
        "SELECT row_id, witness FROM decisions WHERE stage = 'dedup' AND witness IS NOT NULL",
    ).to_pylist()
    pairs = [(line["row_id"], line["witness"]) for line in dropped if line["row_id"] in group]
    assert pairs
    assert all(group[copy] == group[witness] for copy, witness in pairs)


def test_only_the_pool_is_asked_about_and_random_draws_from_the_copies_too(
    inputs: ProbeInputs,
) -> None:
    heap = inputs.heap
    pool = set(heap.samples.samples.filter(heap.in_pool)["row_id"].to_pylist())
    run = answered(inputs, settings())
    assert set(run.answers.asked["row_id"].to_pylist()) <= pool
    assert len(heap) > heap.in_pool.sum()
    full, random = run.answers.full, run.answers.cell("random", 0.5)
    assert full.samples > random.samples * 2 - 2


def test_how_trainings_are_spread_changes_nothing(inputs: ProbeInputs) -> None:
    class Backwards(LocalExecutor):
        def run(self, function, items):
            return reversed([function(item) for item in reversed(items)])

    first, second = (
        answered(inputs, settings("cluster_temperature"), executor)
        for executor in (LocalExecutor(), Backwards())
    )
    for one, other in zip(first.answers.cells, second.answers.cells, strict=True):
        assert (one.arm, one.budget) == (other.arm, other.budget)
        np.testing.assert_array_equal(one.correct, other.correct)


def test_a_pool_of_no_more_than_spread_above_stays_in_this_process(inputs: ProbeInputs) -> None:
    class Refusing(LocalExecutor):
        def run(self, function, items):
            assert not isinstance(function, ProbeTrainer)
            return super().run(function, items)

    alone = answered(inputs, settings(spread_above=100_000), Refusing())
    spread = answered(inputs, settings(spread_above=0))
    for one, other in zip(alone.answers.cells, spread.answers.cells, strict=True):
        np.testing.assert_array_equal(one.correct, other.correct)


def test_the_network_fills_the_same_cells(inputs: ProbeInputs) -> None:
    learner = {"kind": "network", "steps": 100, "hidden": 16, "seeds": 2}
    kernel, network = (answered(inputs, settings(**more)) for more in ({}, {"learner": learner}))
    cells = [(cell.arm, cell.budget, cell.samples) for cell in kernel.answers.cells]
    assert cells == [(cell.arm, cell.budget, cell.samples) for cell in network.answers.cells]
    assert len(network.answers.full.correct) == 2


def test_an_arm_draws_as_often_as_it_is_random(inputs: ProbeInputs) -> None:
    run = answered(inputs, settings("facility_location", "stratified_random"))
    assert len(run.answers.cell("facility_location", 0.5).correct) == 1
    assert len(run.answers.cell("stratified_random", 0.5).correct) == 2
    assert len(run.answers.cell("random", 0.5).correct) == 2


def test_a_pool_without_common_answers_is_refused(inputs: ProbeInputs) -> None:
    with raises_code("probe_nothing_to_ask", min_groups=10_000):
        answered(inputs, settings(min_groups=10_000))


def test_more_folds_than_groups_are_refused(inputs: ProbeInputs) -> None:
    keep = np.flatnonzero(inputs.heap.in_pool)[:6]
    few = ProbeInputs(
        inputs.heap.take(keep),
        inputs.scores,
        inputs.graph,
        inputs.neighbors,
    )
    with raises_code("probe_folds_invalid", folds=20):
        answered(few, settings(folds=20, min_groups=2))


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        (["budgets=[1.5]"], ""),
        (["budgets=[0.1,0.1]"], ""),
        (["arms=[facility_location,facility_location]"], ""),
        (["arms=[random]"], ""),
        (["versus=nobody"], ""),
        (["versus=full"], ""),
        (["arms=[no_such_method]"], "arms.0.method"),
        (["draws=1"], "draws"),
    ],
)
def test_settings_that_mean_nothing_are_refused(changes: list[str], path: str) -> None:
    with raises_code("recipe_invalid") as refused:
        load_probe_settings(None, None, changes)
    assert any(found.startswith(path) for found in refused.value.values["paths"])


def test_settings_come_from_a_file_methods_and_changes(tmp_path: Path) -> None:
    file = tmp_path / "probe.yaml"
    file.write_text("draws: 8\narms: [k_center]\n", encoding="utf-8")
    config = load_probe_settings(file, ["longest"], ["folds=3"])
    assert (config.draws, config.folds, [arm.name for arm in config.arms]) == (8, 3, ["longest"])


def test_the_page_says_the_verdict_and_every_arm(result: ProbeResult, tmp_path: Path) -> None:
    config = settings("facility_location", "stratified_random")
    page = write_probe_page(result, config, tmp_path / "probe.html").read_text(encoding="utf-8")
    assert result.verdict in page
    for arm in ("random", "dedup_random", "full", "facility_location", "stratified_random"):
        assert f'<th scope="row">{arm}</th>' in page
