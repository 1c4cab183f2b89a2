"""Row filters: what goes, what the ledger says, and what is refused."""

from __future__ import annotations

import sys
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.filters import PythonFunction, SqlCondition
from curation.pipeline import curate, run_stages
from curation.stages.filter import FilterRows
from curation.stages.work_files import WorkFolder
from medsift import records
from medsift.execution import LocalExecutor
from medsift.manifest import read
from tests.expect import raises_code

SHORT = {"name": "short", "kind": "sql", "drop_where": "length(answer) < 4"}


def table(answers: list[str | None]) -> pa.Table:
    rows = [
        {"row_id": f"r{place}", "sample_id": f"s{place}", "source": "a", "answer": answer}
        for place, answer in enumerate(answers)
    ]
    return pa.Table.from_pylist(rows, schema=records.SAMPLES)


def no_vowel(row):
    return any(letter in "aeiou" for letter in row["answer"] or "") or (False, "no vowel", 0)


@settings(deadline=None, max_examples=40)
@given(
    answers=st.lists(st.none() | st.text("abe", max_size=8), max_size=30), cut=st.integers(0, 30)
)
def test_a_condition_keeps_what_is_false_or_null_wherever_the_batch_is_cut(answers, cut):
    samples = table(answers)
    condition = SqlCondition(**SHORT, value="length(answer)")
    dropped = condition.drops(samples)
    expected = {
        place: len(answer)
        for place, answer in enumerate(answers)
        if answer is not None and len(answer) < 4
    }
    assert {place: drop.value for place, drop in dropped.items()} == expected
    parts = [samples.slice(0, cut), samples.slice(cut)]
    together = [drop for part in parts for drop in condition.drops(part).values()]
    assert together == list(dropped.values())


def test_a_row_goes_for_the_first_filter_that_refuses_it(tmp_path: Path):
    python = PythonFunction(name="vowels", python=f"{__name__}:no_vowel")
    sys.modules.setdefault(__name__, sys.modules[no_vowel.__module__])
    work = WorkFolder(tmp_path)
    [item] = work.write([table(["b", "bbbbb", "abcd", None])], records.SAMPLES)
    [tables] = FilterRows([SqlCondition(**SHORT), python], work)(item)
    lines = tables["decisions"].to_pylist()
    assert [(line["row_id"], line["reason"], line["detail"]) for line in lines] == [
        ("r0", "filter:short", "length(answer) < 4"),
        ("r1", "filter:vowels", "no vowel"),
        ("r3", "filter:vowels", "no vowel"),
    ]
    assert [line["value"] for line in lines] == [None, 0.0, 0.0]


@pytest.mark.parametrize(
    "condition",
    ["length(anser) < 4", "answer <", "1; DROP TABLE samples", "SELECT 1 FROM samples"],
)
def test_a_condition_that_does_not_fit_is_refused_before_the_run(condition):
    with raises_code("filter_failed", filter="short"):
        SqlCondition(**SHORT | {"drop_where": condition}).fingerprint()


def test_a_condition_reaches_no_file(tmp_path):
    (tmp_path / "secret.csv").write_text("a\n1\n")
    reads = f"exists (SELECT 1 FROM read_csv('{tmp_path}/secret.csv'))"
    with raises_code("filter_failed"):
        SqlCondition(**SHORT | {"drop_where": reads}).drops(table(["x"]))


@pytest.mark.parametrize(
    "value", ["count(*) OVER ()", "count(*)", "(SELECT count(*) FROM samples)"]
)
def test_a_value_that_looks_at_other_rows_is_refused(value):
    with raises_code("filter_failed"):
        SqlCondition(**SHORT, value=value).fingerprint()


@pytest.mark.parametrize("name", ["nowhere:keep", "json:nothing", "json:__name__"])
def test_a_function_that_is_not_there_is_refused(name):
    with raises_code("filter_function_missing", filter="mine"):
        PythonFunction(name="mine", python=name).fingerprint()


@pytest.mark.parametrize(
    "answer", [None, 1, "no", (False, 3), (False, "a", "b"), (False, "a", 1, 2)]
)
def test_an_answer_that_is_neither_yes_nor_no_names_the_row(monkeypatch, answer):
    monkeypatch.setattr("json.keep", lambda row: answer, raising=False)
    with raises_code("filter_failed", row_id="r0"):
        PythonFunction(name="mine", python="json:keep").drops(table(["x"]))


def test_a_function_that_raises_names_the_row(monkeypatch):
    monkeypatch.setattr("json.keep", lambda row: 1 / 0, raising=False)
    with raises_code("filter_failed", row_id="r0"):
        PythonFunction(name="mine", python="json:keep").drops(table(["x"]))


def test_a_run_lists_what_its_filters_dropped(phantom_recipe, phantom_run, tmp_path):
    recipe = phantom_recipe(
        "filters=[{name: ct, kind: sql, drop_where: \"modality = 'ct'\", value: length(answer)}]"
    )
    run = curate(recipe, tmp_path / "run", LocalExecutor())
    balance = next(stage.balance for stage in run.stages if stage.stage == "filter")
    before = read(phantom_run.manifest, "SELECT count(*) AS n FROM samples WHERE modality = 'ct'")
    assert balance.dropped == before["n"][0].as_py() > 0
    sql = "SELECT count(*) AS n FROM why WHERE reason = 'filter:ct' AND value > 0"
    assert read(run.manifest, sql)["n"].to_pylist() == [balance.dropped]
    left = "SELECT count(*) AS n FROM selected_samples WHERE modality = 'ct'"
    assert read(run.manifest, left)["n"].to_pylist() == [0]


def test_without_filters_there_is_no_such_stage(phantom_run, phantom_recipe, tmp_path):
    assert "filter" not in phantom_run.upstream
    done = run_stages(phantom_recipe(), tmp_path, LocalExecutor(), until="images")
    assert list(done.upstream) == ["ingest", "images"]
    assert not (tmp_path / "manifest.duckdb").exists()
    with raises_code("stage_unknown", stage="nothing"):
        run_stages(phantom_recipe(), tmp_path, LocalExecutor(), until="nothing")
