"""A run from Python has the manifest's rows, explains them and takes selections."""

from __future__ import annotations

import pytest

import medsift as ms
from tests.expect import raises_code


def ids(table) -> set[str]:
    return set(table["row_id"].to_pylist())


def test_every_row_is_kept_dropped_or_failed_once(planted_run, planted):
    tables = [planted_run.kept, planted_run.dropped, planted_run.failed]
    assert all(table.num_rows for table in tables)
    assert sum(table.num_rows for table in tables) == planted.rows
    assert len(set.union(*map(ids, tables))) == planted.rows
    assert f"{planted.rows} rows in, {tables[0].num_rows} kept" in repr(planted_run)


def test_the_tables_have_reason_witness_and_value(planted_run):
    dropped = planted_run.dropped
    assert {"reason", "witness", "value", "threshold", "question"} <= set(dropped.column_names)
    assert dropped["reason"].null_count == 0
    assert set(dropped["witness"].drop_null().to_pylist()) <= ids(planted_run.kept)
    assert planted_run.failed["reason"].null_count == 0


def test_a_fate_prints_the_row_and_its_witness(planted_run):
    row = next(row for row in planted_run.dropped.to_pylist() if row["witness"])
    fate = planted_run.why(row["row_id"])
    assert (fate.action, fate.witness, fate.reason) == ("dropped", row["witness"], row["reason"])
    words = str(fate)
    assert row["witness"] in words
    assert fate.witness_question in words
    assert planted_run.why(fate.sample_id).row_id == row["row_id"]
    with raises_code("row_unknown", row="nothing"):
        planted_run.why("nothing")


def test_sql_is_answered_and_reaches_no_file(planted_run, tmp_path):
    counts = planted_run.sql("SELECT action, count(*) AS n FROM rows GROUP BY ALL")
    assert dict(zip(*counts.to_pydict().values(), strict=True))["kept"] == planted_run.kept.num_rows
    secret = tmp_path / "secret.csv"
    secret.write_text("a\n1\n", encoding="utf-8")
    with raises_code("query_refused"):
        planted_run.sql(f"SELECT * FROM '{secret}'")


def test_a_run_is_opened_by_its_folder_or_its_file(planted_run):
    assert ms.open_run(planted_run.manifest.parent) == planted_run
    assert ms.open_run(str(planted_run.manifest), planted_run.run_id) == planted_run
    with raises_code("run_unknown", run_id="another"):
        ms.open_run(planted_run.manifest, "another")
    with raises_code("path_not_local", path="hdfs://host/runs/a"):
        ms.open_run("hdfs://host/runs/a")
    assert planted_run.report.is_file()


@pytest.fixture(scope="module")
def small(planted_run):
    return planted_run.select("small", budget="25%")


def test_a_selection_has_ids_weights_and_coverage(planted_run, small):
    table = small.table
    assert small.ids == table["sample_id"].to_pylist()
    assert small.weights.tolist() == table["weight"].to_pylist()
    assert len(small) == len(small.ids) == table.num_rows
    assert set(table["row_id"].to_pylist()) <= ids(planted_run.kept)
    assert 0 < small.coverage <= 1
    assert "small" in planted_run.selections
    assert planted_run.selection("small") == small
    assert sum(small.strata["selected"].to_pylist()) == len(small)
    with raises_code("selection_unknown", selection="absent"):
        planted_run.selection("absent")


@pytest.mark.parametrize(("budget", "samples"), [(5, 5), (0.1, None), ("10%", None)])
def test_budgets_are_numbers_shares_or_words(planted_run, budget, samples):
    selection = planted_run.select("budgeted", budget, "random", seed=3, replace=True)
    pool = sum(selection.strata["pool"].to_pylist())
    assert len(selection) == samples if samples else abs(len(selection) - pool / 10) <= 1


def test_two_selections_are_compared(planted_run, small):
    other = planted_run.select("random_25", "25%", "random", seed=1, replace=True)
    comparison = small.compare(other)
    assert tuple(comparison.names) == ("small", "random_25")
    assert comparison.to_dict() == small.compare("random_25").to_dict()
    assert "random_25" in str(comparison)


def test_a_selection_becomes_a_dataset_as_it_is_exported(small, tmp_path):
    from datasets import Dataset

    dataset = small.to_dataset()
    assert len(dataset) == len(small)
    assert dataset[0]["messages"][-1]["role"] == "assistant"
    done = small.export("hf", tmp_path / "export")
    files = [str(path) for path in done.files if path.suffix == ".parquet"]
    exported = Dataset.from_parquet(files, cache_dir=str(tmp_path / "cache"))
    assert dataset.features == exported.features
    assert dataset.with_format("arrow")[:].equals(exported.with_format("arrow")[:])


def test_two_runs_are_compared_row_by_row(planted_run, settings, tmp_path):
    assert planted_run.compare(planted_run).num_rows == 0
    strict = {**settings, "filters": [{"name": "yes", "kind": "sql", "drop_where": "answer='yes'"}]}
    other = ms.curate(strict, tmp_path / "strict", ray=False)
    changed = planted_run.compare(other)
    reasons = changed["other_reason"].to_pylist()
    assert "filter:yes" in reasons
    assert set(changed["row_id"].to_pylist()) >= ids(planted_run.kept) - ids(other.kept)


def test_settings_are_changed_as_on_the_command_line(settings, tmp_path):
    recipe = ms.Recipe.model_validate(settings)
    run = ms.curate(recipe, tmp_path / "run", set=["name=changed"], ray=False)
    assert run.sql("SELECT name FROM runs")["name"][0].as_py() == "changed"


def test_what_notebooks_show_is_escaped(planted_run, small):
    for shown in (planted_run, small):
        html = shown._repr_html_()
        assert html.startswith("<table><caption>")
        assert "<script" not in html


def test_html_tables_escape_and_count_what_they_leave_out():
    import pyarrow as pa

    from curation.table_html import MAX_ROWS, html_table

    html = html_table(pa.table({"<b>": ["<script>" * 100] * (MAX_ROWS + 1)}), "a & b")
    assert "<script>" not in html
    assert "&lt;b&gt;" in html
    assert "a &amp; b" in html
    assert html.count("<tr>") == MAX_ROWS + 1
    assert f"first {MAX_ROWS} of {MAX_ROWS + 1}" in html
