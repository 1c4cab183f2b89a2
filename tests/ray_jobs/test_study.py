"""`medsift study`: a whole tiny study, its second run, and one that is killed."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
import yaml

from curation.add_selection import ensure_selections, parse_selection
from evaluation.study_results import rivals
from medsift import recipe_yaml
from medsift.execution import LocalExecutor
from medsift.manifest import read
from ray_jobs.study.plan import make_plan
from ray_jobs.study.recipe import StudyRecipe
from ray_jobs.study.study import run_study

BASELINES = ("random", "stratified_random", "longest")
ARMS = ("facility_location", *BASELINES)
ITEMS = 40
SEEDS = [0, 1]
TRIALS = 1 + len(SEEDS) * (len(ARMS) + 1)
Write = Callable[..., Path]

load = partial(recipe_yaml.load, StudyRecipe)


@dataclass(frozen=True, slots=True)
class Studied:
    """A study of one seed, and the same with a further one: ids, and the trials then tried."""

    run: Path
    first: str
    second: str
    tried: list[str]

    def ask(self, sql: str, study: str | None = None) -> list[dict[str, Any]]:
        """Lines of the study's tables, named {trials} and {results} in the query."""
        return ask_study(self.run, sql, study or self.second)


@pytest.fixture(scope="module")
def studied(write_study: Write, tmp_path_factory: pytest.TempPathFactory) -> Studied:
    """A whole study."""
    folder = tmp_path_factory.mktemp("studied")
    first = run_study(load(write_study(folder, seeds=[0])), False, lambda event: None)
    events: list[Any] = []
    second = run_study(load(write_study(folder)), False, events.append)
    assert not first.failed
    assert not second.failed
    tried = [one.trial for one in events if getattr(one, "reused", None) is False]
    return Studied(folder / "run", first.study_id, second.study_id, tried)


def ask(run: Path, sql: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = read(run / "manifest.duckdb", sql).to_pylist()
    return found


def ask_study(run: Path, sql: str, study: str) -> list[dict[str, Any]]:
    names = {
        name: f"(SELECT * EXCLUDE (study_id) FROM {table} WHERE study_id = '{study}')"
        for name, table in (("trials", "study_trials"), ("results", "study_results"))
    }
    return ask(run, sql.format(**names))


def written(run: Path) -> dict[Path, int]:
    """When every file of a training's result and checkpoints was written, the card left out."""
    files = (path for path in (run / "trainings").rglob("*") if path.is_file())
    return {
        path: path.stat().st_mtime_ns for path in files if path.name not in ("README.md", "lock")
    }


def adapters(run: Path) -> dict[str, bytes]:
    """The bytes of every trained adapter."""
    found = (run / "trainings").glob("*/result/adapter_model.safetensors")
    return {path.parent.parent.name: path.read_bytes() for path in found}


RESULTS = "SELECT * FROM {results} ORDER BY ALL"


def test_every_arm_is_tried_with_every_seed(studied: Studied) -> None:
    lines = studied.ask("SELECT * FROM {trials}")
    assert {(line["arm"], line["seed"]) for line in lines} == {
        ("untrained", 0),
        *((arm, seed) for arm in (*ARMS, "full") for seed in SEEDS),
    }
    assert len(lines) == TRIALS
    assert {line["status"] for line in lines} == {"done"}
    trained = [line for line in lines if line["arm"] != "untrained"]
    assert len({line["training_id"] for line in trained}) == len(trained)
    for arm in (*ARMS, "full"):
        names = {line["selection"] for line in lines if line["arm"] == arm}
        assert len(names) == (len(SEEDS) if "random" in arm else 1)
    [everything] = {line["selection"] for line in lines if line["arm"] == "full"}
    assert everything == "kept"


def test_only_the_trials_of_a_seed_that_is_added_are_tried(studied: Studied) -> None:
    new = [f"tiny.{arm}.20pct.s1" for arm in ARMS]
    assert studied.tried == [*new, "tiny.full.s1"]


def test_the_table_is_that_of_the_predictions_in_the_manifest(studied: Studied) -> None:
    scores = {
        (line["arm"], line["seed"]): line["scores"]
        for line in studied.ask(
            "SELECT t.arm, t.seed, list(p.score ORDER BY p.item_id) AS scores FROM {trials} t "
            "JOIN predictions p USING (run_id, evaluation_id) WHERE p.variant = 'original' "
            "GROUP BY ALL",
        )
    }
    assert {len(found) for found in scores.values()} == {ITEMS}
    means = {
        arm: np.mean([found for (name, _), found in scores.items() if name == arm])
        for arm in (*ARMS, "full", "untrained")
    }
    assert len(set(means.values())) > 2
    whole = "facet = 'all' AND variant = 'original' AND metric = 'accuracy'"
    for line in studied.ask(f"SELECT * FROM {{results}} WHERE {whole}"):
        assert line["value"] == pytest.approx(means[line["arm"]])
        if line["versus"] is not None:
            apart = means[line["arm"]] - means[line["versus"]]
            assert line["difference"] == pytest.approx(apart)
    tested = studied.ask("SELECT arm, versus, test FROM {results} WHERE verdict IS NOT NULL")
    assert {tuple(line.values()) for line in tested} == {
        (arm, *rival) for arm in (*ARMS, "full") for rival in rivals(arm)
    }


def test_trials_were_trained_and_evaluated_alike(studied: Studied) -> None:
    lines = studied.ask(
        "SELECT t.arm, r.steps, r.seed AS drawn, t.seed, r.selection, t.selection AS own, "
        "e.asked, e.training_id IS NOT DISTINCT FROM t.training_id AS same "
        "FROM {trials} t LEFT JOIN trainings r USING (run_id, training_id) "
        "JOIN evaluations e USING (run_id, evaluation_id)",
    )
    assert len(lines) == TRIALS
    assert {line["steps"] for line in lines if line["arm"] != "untrained"} == {2}
    assert all(line["drawn"] == line["seed"] for line in lines if line["steps"])
    assert all(line["selection"] == line["own"] for line in lines)
    assert {line["asked"] for line in lines} == {2 * ITEMS}
    assert all(line["same"] for line in lines)


def test_the_study_says_how_it_was_made_and_the_recipe_makes_it_again(
    studied: Studied, tmp_path: Path
) -> None:
    [line] = ask(studied.run, f"SELECT * FROM studies WHERE study_id = '{studied.second}'")
    assert (line["same"], line["margin"], line["seeds"]) == ("steps", 0.1, SEEDS)
    assert (line["status"], line["trials"], line["failed"]) == ("done", TRIALS, 0)
    assert line["contaminated"] is None
    path = tmp_path / "again.yaml"
    path.write_text(line["recipe"])
    assert make_plan(load(path), LocalExecutor()).study_id == studied.second


def test_the_newest_selection_stays_what_it_was(studied: Studied, planted_run: Path) -> None:
    newest = "SELECT DISTINCT selection FROM selected_samples"
    assert ask(studied.run, newest) == ask(planted_run, newest)


def test_it_stays_so_in_a_run_that_was_curated_twice(
    write_study: Write, medsift: Any, tmp_path: Path
) -> None:
    write_study(tmp_path)
    run, newest = tmp_path / "run", "SELECT DISTINCT selection FROM selected_samples"
    before = ask(run, newest)
    said = medsift("curate", run / "recipe.yaml", "--local", "--run-dir", run)
    assert said.code == 0, said.err
    wanted = [{"name": name, "budget": "5", "method": {"kind": "random"}} for name in ("y", "z")]
    ensure_selections(run, [parse_selection(one) for one in wanted])
    assert ask(run, newest) == before
    order = "SELECT selection FROM selection_settings ORDER BY created_at"
    assert [line["selection"] for line in ask(run, order)][:2] == ["y", "z"]


def test_a_second_run_trains_and_asks_nothing(studied: Studied, medsift: Any) -> None:
    evaluations = "SELECT evaluation_id, finished_at FROM evaluations ORDER BY 1"
    before = studied.ask(RESULTS), written(studied.run), ask(studied.run, evaluations)
    said = medsift("study", studied.run.parent / "study.yaml")
    assert said.code == 0, said.err
    assert said.err.count("reused") == TRIALS
    assert (studied.ask(RESULTS), written(studied.run), ask(studied.run, evaluations)) == before
    assert ask(studied.run, "SELECT count(*) AS n FROM studies") == [{"n": 2}]
    assert "facility_location" in said.out
    assert "worse than full data by more than 10.0 points" in said.out
    assert (studied.run / "studies" / "tiny" / "study.html").stat().st_size > 10_000


@pytest.mark.slow
def test_killed_in_the_middle_it_ends_as_if_it_had_not_been(
    command: Any,
    write_study: Write,
    studied: Studied,
    tmp_path: Path,
) -> None:
    path, run = write_study(tmp_path, seeds=[0]), tmp_path / "run"
    process = command.start("study", path)
    deadline = time.monotonic() + 200
    wanted = "tiny.random.20pct.s*/checkpoints/step-000001/state.json"
    while not list((run / "trainings").glob(wanted)) and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    done = {path.parent for path in (run / "trainings").glob("*/result/lineage.json")}
    before = {path: when for path, when in written(run).items() if path.parent in done}
    assert 1 <= len(done) < 4
    again = run_study(load(path), False, lambda event: None)
    after = written(run)
    assert before == {path: after[path] for path in before}
    assert again.study_id == studied.first
    assert ask_study(run, RESULTS, studied.first) == studied.ask(RESULTS, studied.first)
    uncut = adapters(studied.run)
    assert adapters(run) == {name: uncut[name] for name in uncut if ".s0-" in name}


def test_a_selection_that_is_there_already_is_taken_only_if_it_is_the_same(
    write_study: Write, medsift: Any, tmp_path: Path
) -> None:
    path = write_study(tmp_path)
    config = parse_selection(
        {"name": "tiny.longest.20pct", "budget": "5", "method": {"kind": "random"}}
    )
    ensure_selections(tmp_path / "run", [config])
    made = ask(tmp_path / "run", "SELECT * FROM selection_settings ORDER BY ALL")
    assert ensure_selections(tmp_path / "run", [config]) == {"tiny.longest.20pct": 5}
    assert ask(tmp_path / "run", "SELECT * FROM selection_settings ORDER BY ALL") == made
    # An earlier version knew no `by` of quotas.
    manifest = tmp_path / "run" / "manifest.duckdb"
    older = shutil.copy(manifest, tmp_path / "older.duckdb")
    with duckdb.connect(older) as con:
        settings = """replace(settings, '"by":"strata",', '')"""
        con.execute(f"UPDATE selection_settings SET settings = {settings}")
    older.replace(manifest)
    assert ensure_selections(tmp_path / "run", [config]) == {"tiny.longest.20pct": 5}
    said = medsift("study", path)
    assert said.code == 2
    assert "another selection 'tiny.longest.20pct' already" in said.error


@pytest.mark.parametrize(
    ("changed", "code", "words"),
    [
        ({"budgets": ["500"]}, 2, "the budget is 500 samples, the pool has"),
        ({"budgets": ["99.9%"]}, 2, "[study_budget_too_large]"),
        (
            {"training": {"benchmarks": ["slake"]}},
            4,
            "benchmark 'slake' was not compared with the samples",
        ),
        ({"training": {"base": {"kind": "transformers", "model": "./gone"}}}, 3, "no model at"),
        ({"evaluation": {"protocol": "llava-med"}}, 2, "protocol llava-med has rules for"),
    ],
)
def test_what_can_be_refused_is_refused_before_the_first_trial(
    write_study: Write,
    medsift: Any,
    tmp_path: Path,
    changed: Mapping[str, Any],
    code: int,
    words: str,
) -> None:
    whole = yaml.safe_load(write_study(tmp_path).read_text())
    given = {
        key: whole[key] | value if isinstance(value, dict) else value
        for key, value in changed.items()
    }
    said = medsift("study", write_study(tmp_path, **given))
    assert said.code == code
    assert words in said.error
    assert not (tmp_path / "run" / "trainings").exists()
