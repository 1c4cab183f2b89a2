"""`medsift query` writes what was asked for, where it was asked for, and refuses in one line."""

from __future__ import annotations

import csv
import io
import json
import signal
import subprocess
from datetime import UTC, datetime

import pyarrow.parquet as pq
import pytest

from medsift.manifest import RunRecord, write_manifest
from ray_jobs.cli import run

SQL = "SELECT stage, rows_in, kept FROM funnel ORDER BY stage"
MOMENT = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    import pyarrow as pa

    folder = tmp_path_factory.mktemp("run")
    stages = [
        {"ordinal": 0, "stage": "images", "rows_in": 9, "kept": 7, "dropped": 1, "failed": 1},
        {"ordinal": 1, "stage": "select", "rows_in": 7, "kept": 7, "dropped": 0, "failed": 0},
    ]
    record = RunRecord(
        run_id="0123456789ab",
        name="tiny",
        created_at=MOMENT,
        finished_at=MOMENT,
        status="balanced",
        recipe={},
        recipe_fingerprint="r",
        input_fingerprint="i",
        code_version="0",
        packages={},
        seed=0,
    )
    write_manifest(folder / "manifest.duckdb", {"stages": pa.Table.from_pylist(stages)}, record)
    return folder


def test_a_table_goes_to_stdout(run_dir, capfdbinary):
    assert run(["query", str(run_dir), SQL]) == 0
    said = capfdbinary.readouterr().out.decode()
    assert "rows_in" in said
    assert "images" in said


def test_csv_json_and_parquet_hold_the_same_rows(run_dir, capfdbinary, tmp_path):
    expected = [
        {"stage": "images", "rows_in": 9, "kept": 7},
        {"stage": "select", "rows_in": 7, "kept": 7},
    ]
    assert run(["query", str(run_dir), SQL, "--format", "json"]) == 0
    assert json.loads(capfdbinary.readouterr().out) == expected
    assert run(["query", str(run_dir / "manifest.duckdb"), SQL, "--format", "csv"]) == 0
    text = io.StringIO(capfdbinary.readouterr().out.decode())
    assert [line["stage"] for line in csv.DictReader(text)] == ["images", "select"]
    target = tmp_path / "answer.parquet"
    asked = ["query", str(run_dir), SQL, "--format", "parquet", "--output", str(target)]
    assert run(asked) == 0
    assert pq.read_table(target).to_pylist() == expected
    assert [path.name for path in tmp_path.iterdir()] == ["answer.parquet"]
    assert capfdbinary.readouterr().out == b""


@pytest.mark.parametrize("sql", ["DROP TABLE runs", "SELECT * FROM 'secret.csv'", "SELEC 1"])
def test_a_statement_that_is_refused_is_one_line_and_status_2(run_dir, capfd, sql):
    assert run(["query", str(run_dir), sql]) == 2
    said = capfd.readouterr()
    assert said.out == ""
    assert said.err.startswith("error")
    assert said.err.count("\n") == 1


def test_an_output_that_cannot_be_written_is_one_line_and_status_3(run_dir, capfd, tmp_path):
    (tmp_path / "file").write_text("")
    target = tmp_path / "file" / "answer.csv"
    assert run(["query", str(run_dir), SQL, "--format", "csv", "--output", str(target)]) == 3
    said = capfd.readouterr()
    assert said.err.startswith("error[output_unwritable]: ")
    assert said.err.count("\n") == 1


@pytest.mark.parametrize(
    "sql", ["SELECT count(*) FROM range(1000000000000)", "SELECT list_sum(range(400000000))"]
)
def test_ctrl_c_ends_a_statement_with_its_process(run_dir, sql, command):
    asked = command.start("query", run_dir, sql, "--memory", "20GB")
    with pytest.raises(subprocess.TimeoutExpired):
        asked.wait(3)
    asked.send_signal(signal.SIGINT)
    said = asked.communicate(timeout=60)[1]
    assert asked.returncode == 130
    assert said.startswith("error[interrupted]: ")
    assert said.count("\n") == 1


def test_memory_that_a_function_asks_for_at_once_is_refused(run_dir, capfd):
    sql = "SELECT length(repeat('x', 3000000000))"
    assert run(["query", str(run_dir), sql, "--memory", "1GB"]) == 2
    assert "memory" in capfd.readouterr().err
    assert run(["query", str(run_dir), "SELECT 1", "--memory", "much"]) == 2
