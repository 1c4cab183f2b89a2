"""The budget `auto` in whole runs: what the manifest and the report say, resume, other ways in."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from markupsafe import escape

import curation.stages.select as stage
import medsift as ms
from curation.add_selection import add_selection, parse_selection
from curation.pipeline import RunResult, curate
from curation.recipe import Recipe
from medsift.execution import LocalExecutor
from medsift.manifest import read
from medsift.progress import StageAdvanced, StageStarted, StageWarned
from tests.expect import raises_code
from tests.fakes import Killed

MEDICINES = {
    "asthma": "salbutamol",
    "type 2 diabetes": "metformin",
    "high blood pressure": "ramipril",
    "bacterial pneumonia": "amoxicillin",
    "epileptic seizures": "valproate",
    "gout attacks": "colchicine",
    "hypothyroidism": "levothyroxine",
    "migraine headaches": "sumatriptan",
    "iron deficiency": "ferrous sulfate",
    "blood clots": "warfarin",
}
PEOPLE = (
    "a farmer",
    "a pilot",
    "a teacher",
    "a nurse",
    "a swimmer",
    "a baker",
    "a student",
    "a retired judge",
    "a truck driver",
    "an office clerk",
    "a football player",
    "a musician",
    "a dentist",
    "a soldier",
)
ROWS = [
    {"question": f"Which medicine helps {who} with {what}?", "answer": medicine}
    for what, medicine in MEDICINES.items()
    for who in PEOPLE
]
# Different people with one disease are different rows here.
DEDUP = {"sample": {"question_cosine": 1.0}, "semantic": {"action": "off"}}
# The method is fixed: what is tested is the search for the size, not today's default.
METHOD = {"kind": "facility_location", "neighbors": 2}
AUTO = {"name": "enough", "budget": "auto:0.05", "method": METHOD}
SELECTIONS = [AUTO, {"name": "tenth", "method": {"kind": "random"}, "budget": "10%"}]


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory, vectors: Path) -> Recipe:
    table = tmp_path_factory.mktemp("medicines") / "rows.jsonl"
    table.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    return Recipe.model_validate(
        {
            "name": "medicines",
            "sources": [{"name": "m", "reader": "table", "path": str(table)}],
            "encoder": {"kind": "embedded"},
            "cache": str(vectors),
            "dedup": DEDUP,
            "strata": ["answer_type"],
            "selections": SELECTIONS,
        }
    )


@pytest.fixture(scope="module")
def run(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    return curate(recipe, tmp_path_factory.mktemp("auto"), LocalExecutor())


def ask(run_dir: Path, sql: str) -> list:
    return read(run_dir / "manifest.duckdb", sql).to_pylist()


def test_one_question_of_each_disease_is_enough_and_the_manifest_says_why(run: RunResult) -> None:
    [line] = ask(run.run_dir, "FROM selection_settings WHERE selection = 'enough'")
    assert line["budget"] == "auto:0.05"
    assert len(MEDICINES) <= line["selected"] <= 4 * len(MEDICINES)
    share = line["selected"] / line["pool"]
    assert f"{100 * share:g} % of the pool" in line["explanation"]
    curve = ask(
        run.run_dir,
        "SELECT r.budget, r.non_inferiority FROM probe_results r JOIN selection_settings s "
        "USING (run_id, probe_id) WHERE r.facet = 'all' AND r.arm = 'enough' ORDER BY r.budget",
    )
    assert [row["non_inferiority"] for row in curve if row["budget"] >= share] == (
        ["non-inferior"] * sum(row["budget"] >= share for row in curve)
    )
    assert {row["non_inferiority"] for row in curve if row["budget"] < share} != {"non-inferior"}
    [probed] = ask(
        run.run_dir, "SELECT p.created_at, r.created_at AS started FROM probe_runs p, runs r"
    )
    assert probed["created_at"] == probed["started"]


def test_the_report_of_the_run_explains_the_size(run: RunResult) -> None:
    [line] = ask(run.run_dir, "SELECT explanation FROM selection_settings WHERE ordinal = 1")
    page = run.report.read_text(encoding="utf-8")
    assert '<section id="probe">' in page
    assert escape(line["explanation"]) in page


def test_a_second_run_reuses_the_probe(recipe: Recipe, run: RunResult) -> None:
    events: list = []
    again = curate(recipe, run.run_dir, LocalExecutor(), events.append)
    assert all(stage.reused for stage in again.stages)
    assert not [event for event in events if isinstance(event, StageWarned)]


def test_a_probe_that_was_finished_before_a_kill_is_not_repeated(
    recipe: Recipe, run: RunResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = stage.make_selection

    def only(name: str):
        def made(upstream, recipe, candidates, scores, config, *more):
            if config.name != name:
                raise Killed
            return make(upstream, recipe, candidates, scores, config, *more)

        return made

    events: list = []
    monkeypatch.setattr(stage, "make_selection", only("enough"))
    with pytest.raises(Killed):
        curate(recipe, tmp_path / "run", LocalExecutor(), events.append)
    [warned] = [event for event in events if isinstance(event, StageWarned)]
    assert "trainings of a probe" in warned.message
    monkeypatch.setattr(stage, "make_selection", only("tenth"))
    curate(recipe, tmp_path / "run", LocalExecutor())
    for table in ("selections", "selection_settings", "probe_results"):
        again, before = (
            [
                {name: value for name, value in line.items() if name != "created_at"}
                for line in ask(folder, f"FROM {table} ORDER BY ALL")
            ]
            for folder in (tmp_path / "run", run.run_dir)
        )
        assert again == before


def test_a_selection_that_is_added_is_the_one_of_the_recipe(run: RunResult, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(run.run_dir, tmp_path / "run"))
    events: list = []
    sql = "SELECT sample_id, weight FROM selections WHERE selection = 'enough' ORDER BY rank"
    before = ask(folder, sql)
    added = add_selection(folder, parse_selection(AUTO), replace=True, listener=events.append)
    assert ask(folder, sql) == before
    [line] = ask(folder, "SELECT probe_id, created_at FROM probe_runs")
    assert added.enough is not None
    assert line["probe_id"] == added.enough.probe.probe_id
    assert line["created_at"] is not None
    assert isinstance(events[0], StageStarted)
    assert isinstance(events[-1], StageAdvanced)
    assert 0.9 * events[0].total <= events[-1].done <= events[0].total
    small = ms.open_run(folder).selection("enough")
    assert small.explanation == added.enough.explanation


def test_any_table_takes_the_budget_each_row_without_a_picture_being_its_own_group(
    vectors: Path, run: RunResult
) -> None:
    options = {"question": "question", "answer": "answer", "settings": {"dedup": DEDUP}}
    chosen = ms.select(ROWS, "auto:0.05", method=METHOD, cache=vectors, **options)
    assert len(MEDICINES) <= len(chosen.selected) <= 4 * len(MEDICINES)
    unlike = [row | {"answer": f"{row['answer']} {place}"} for place, row in enumerate(ROWS)]
    with raises_code("auto_budget_not_askable", asked=0):
        ms.select(unlike[:40], "auto", cache=vectors, **options)
