"""A probe and a study of the same arms: which cells belong together, and what is said of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import spearmanr

from curation.probe.probe import ProbeResult
from curation.probe.results import Cell, ProbeAnswers
from curation.probe.settings import load_probe_settings
from evaluation.study_scores import BASELINES, Trial
from medsift.manifest import append_tables
from ray_jobs.study.agreement import OVERALL, WITHIN, StoredStudy, compare_with_study, read_study
from ray_jobs.study.agreement_text import agreement_text
from tests.expect import raises_code
from tests.study_trials import trials_of, write_study

RECIPE = {
    "name": "is_it_enough",
    "run": "run",
    "training": {"base": {"kind": "embedded"}, "steps": 40},
    "evaluation": {"benchmarks": [{"kind": "manifest", "path": "run"}]},
    "arms": {"small": {"method": {"kind": "facility_location"}, "quality": "rarity"}},
    "budgets": ["10%", "50%"],
    "margin": 0.05,
    "equalise": "steps",
}
ASKED = 80


def stored(folder: Path, trials: list[Trial]) -> Path:
    """A manifest with the study of these trials and their predictions."""
    manifest = write_study(folder / "manifest.duckdb", trials, recipe=json.dumps(RECIPE))
    tables = [
        one.predictions.append_column(
            "evaluation_id",
            pa.array([f"{one.arm}.{one.budget}.s{one.seed}-e"] * one.predictions.num_rows),
        )
        for one in trials
    ]
    append_tables(manifest, "one", {"predictions": pa.concat_tables(tables)})
    return manifest


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> StoredStudy:
    """The study, read from its manifest by name."""
    return read_study(stored(tmp_path_factory.mktemp("study"), trials_of()), "is_it_enough")


def probed(right: Mapping[tuple[str, float], float]) -> ProbeResult:
    """A probe whose arms are right on such a share of the samples, the first ones."""
    cells = [
        Cell(arm, budget, 10.0, (np.arange(ASKED) < share * ASKED).astype(float)[None])
        for (arm, budget), share in right.items()
    ]
    answers = ProbeAnswers(cells, pa.table({"sample_id": range(ASKED)}), np.arange(ASKED))
    nothing = {"verdicts": {}, "classes": [], "left_out": {}, "diagnosis": []}
    nothing |= {"asked": ASKED, "clusters": ASKED}
    return ProbeResult(
        "one", "p", Path(), pa.table({}), pool=ASKED, seconds=0.0, answers=answers, **nothing
    )


NAMES = {"random": "dedup_random"}
ARMS = ("small", *BASELINES)


def in_order(shares: Mapping[str, float]) -> ProbeResult:
    """A probe with these shares at both budgets; a larger budget adds a tenth."""
    return probed(
        {
            (NAMES.get(arm, arm), budget): share + (0.1 if budget == 0.5 else 0.0)
            for arm, share in shares.items()
            for budget in (0.1, 0.5)
        }
    )


def test_the_probe_takes_arms_and_budgets_of_the_study(study: StoredStudy) -> None:
    config = load_probe_settings(None, usual=study.probe_settings)
    assert [arm.name for arm in config.arms] == ["small", "stratified_random", "longest"]
    assert config.arms[0].method.kind == "facility_location"
    assert config.arms[0].quality == "rarity"
    assert config.budgets == [0.1, 0.5]


def test_cells_are_paired_by_arm_and_share_and_bounds_are_left_out(study: StoredStudy) -> None:
    [found] = compare_with_study(in_order(dict.fromkeys(ARMS, 0.5)), study)
    assert found.benchmark == "vqa"
    assert {(cell.arm, cell.budget) for cell in found.cells} == {
        (arm, budget) for arm in ARMS for budget in ("10%", "50%")
    }
    means = {
        (trial.arm, trial.budget): [
            one.predictions["score"].to_numpy().mean()
            for one in study.trials
            if (one.arm, one.budget) == (trial.arm, trial.budget)
        ]
        for trial in study.trials
    }
    for cell in found.cells:
        assert cell.tuned == pytest.approx(np.mean(means[cell.arm, cell.budget]))
        assert cell.probe == pytest.approx(0.5 if cell.budget == "10%" else 0.6, abs=0.01)


def test_correlations_are_those_of_the_two_columns_of_accuracies(study: StoredStudy) -> None:
    shares = {"small": 0.7, "random": 0.5, "stratified_random": 0.65, "longest": 0.3}
    [found] = compare_with_study(in_order(shares), study)
    for name, budgets in ((OVERALL, ("10%", "50%")), ("10%", ("10%",)), ("50%", ("50%",))):
        cells = [cell for cell in found.cells if cell.budget in budgets]
        wanted = spearmanr([cell.probe for cell in cells], [cell.tuned for cell in cells])
        rank = found.ranks[name].spearman
        assert rank.value == pytest.approx(wanted.statistic)
        assert rank.low is not None
        assert rank.high is not None
        assert rank.low <= rank.value <= rank.high
    within = found.ranks[WITHIN].spearman.value
    parts = [found.ranks[budget].spearman.value for budget in ("10%", "50%")]
    assert within == pytest.approx(np.mean([part or 0.0 for part in parts]))


def test_pairs_that_the_probe_has_the_other_way_are_named(study: StoredStudy) -> None:
    # In the study `small` is right 25 points more often than `longest`.
    turned = {"small": 0.2, "random": 0.4, "stratified_random": 0.4, "longest": 0.7}
    [found] = compare_with_study(in_order(turned), study)
    pairs = {(pair.better, pair.worse): pair for pair in found.pairs if pair.budget == "10%"}
    pair = pairs["small", "longest"]
    assert pair.tuned > 0.1
    assert pair.probe_high < 0
    assert "small above longest" in agreement_text(found)
    assert all(pair.better != "longest" for pair in found.pairs)


def test_a_probe_without_a_cell_of_the_study_is_refused(study: StoredStudy) -> None:
    with raises_code("study_trials_unfit"):
        compare_with_study(in_order({"small": 0.5}), study)


def test_an_unknown_study_is_named_with_those_there_are(tmp_path: Path) -> None:
    manifest = stored(tmp_path, trials_of())
    with raises_code("study_unknown", known=["is_it_enough-1"]):
        read_study(manifest, "another")
    assert read_study(manifest, "is_it_enough-1").study_id == "is_it_enough-1"
