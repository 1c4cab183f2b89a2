"""`medsift probe` as a user runs it, and the same probe on Ray."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from curation.probe.probe import probe
from curation.probe.settings import ProbeConfig
from medsift.manifest import query
from ray_jobs.executor import RayExecutor

FEW = ("--set", "budgets=[0.3]", "--set", "draws=4", "--set", "folds=2", "--set", "min_groups=3")


@pytest.fixture(scope="module")
def run_dir(planted_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the planted run that probes may add to."""
    return shutil.copytree(planted_run, tmp_path_factory.mktemp("probed") / "run")


def test_the_command_prints_verdicts_and_writes_page_and_tables(medsift, run_dir, tmp_path):
    page = tmp_path / "page.html"
    said = medsift("probe", run_dir, "--methods", "k_center, longest", *FEW, "--output", page)
    assert said.code == 0
    [stored] = query(run_dir / "manifest.duckdb", "FROM probe_runs").to_pylist()
    assert stored["verdict"] in said.out
    assert stored["verdict"] in page.read_text(encoding="utf-8")


def test_machines_get_every_row_as_json(medsift, run_dir):
    said = medsift("probe", run_dir, "--methods", "k_center", *FEW, "--format", "json")
    answer = json.loads(said.out)
    assert set(answer["verdicts"]) == {"k_center"}
    assert {row["arm"] for row in answer["results"]} == {
        "k_center",
        "random",
        "dedup_random",
        "full",
    }


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--methods", "no_such_method"), "recipe_invalid"),
        (("--set", "budgets=[2]"), "recipe_invalid"),
        (("--set", "min_groups=10000"), "probe_nothing_to_ask"),
    ],
)
def test_what_cannot_be_probed_is_refused_in_one_line(medsift, run_dir, words, code):
    said = medsift("probe", run_dir, *words)
    assert said.code == 2
    assert said.error_code == code


@pytest.mark.ray
def test_ray_gives_what_this_process_gives(run_dir, ray_session):
    settings = {"arms": ["cluster_temperature"], "budgets": [0.3], "draws": 4, "folds": 2}
    config = ProbeConfig.model_validate({**settings, "min_groups": 3, "spread_above": 0})
    here, there = probe(run_dir, config), probe(run_dir, config, executor=RayExecutor())
    assert here.table.equals(there.table)
