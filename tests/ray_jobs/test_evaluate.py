"""`medsift evaluate`, `rescore` and `compare-models` as a user's shell starts them."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest
import yaml

from evaluation.inference import REPLIES
from evaluation.scoring import PROTOCOLS
from medsift.manifest import read
from tests.tiny_models import causal, saved_causal

ITEMS = 60


@pytest.fixture
def phantoms(planted) -> list[str]:
    """The training questions of the phantoms as a benchmark: their test split is tiny."""
    return ["--benchmark", f"phantoms={planted.root}", "--set", "benchmarks.0.split=train"]


@pytest.fixture
def evaluated(medsift, phantoms, tmp_path, monkeypatch) -> Path:
    """The run directory of an evaluation of both baselines, started by options."""
    monkeypatch.chdir(tmp_path)
    words = ["--model", "majority", "--model", "prior", *phantoms, "--variant", "rotation"]
    said = medsift("evaluate", *words, "--run-dir", "results", "--local")
    assert said.code == 0, said.err
    assert "majority" in said.out
    return tmp_path / "results"


def test_options_alone_evaluate_print_a_table_and_write_a_page(evaluated):
    assert (evaluated / "evaluation.html").stat().st_size > 10_000
    [line] = read(
        evaluated / "manifest.duckdb", "SELECT count(DISTINCT model) AS models FROM evaluations"
    ).to_pylist()
    assert line["models"] == 2


@pytest.mark.parametrize(
    ("models", "which"), [(["majority"], ["--evaluation", "majority"]), (["majority", "prior"], [])]
)
def test_rescoring_prints_the_same_table_byte_for_byte(medsift, evaluated, phantoms, models, which):
    named = [word for model in models for word in ("--model", model)]
    words = [*named, *phantoms, "--variant", "rotation"]
    first = medsift("evaluate", *words, "--run-dir", evaluated, "--local")
    again = medsift("rescore", evaluated, *which)
    assert first.code == again.code == 0
    assert again.out.strip()
    assert first.out.startswith(again.out.rstrip("\n"))


def test_rescoring_changes_the_manifest_only_when_asked(medsift, evaluated):
    manifest = evaluated / "manifest.duckdb"
    before = manifest.read_bytes()
    assert (
        medsift("rescore", evaluated, "--evaluation", "prior", "--protocol", "medevalkit").code == 0
    )
    assert manifest.read_bytes() == before
    assert (
        medsift(
            "rescore", evaluated, "--evaluation", "prior", "--protocol", "medevalkit", "--save"
        ).code
        == 0
    )
    lines = read(manifest, "SELECT model, any_value(protocol) AS p FROM evaluations GROUP BY ALL")
    assert {line["model"]: line["p"] for line in lines.to_pylist()} == {
        "majority": "strict",
        "prior": "medevalkit",
    }


def test_two_models_are_compared_with_verdicts(medsift, evaluated):
    said = medsift(
        "compare-models", f"{evaluated}:majority", f"{evaluated}:prior", "--format", "json"
    )
    assert said.code == 0, said.err
    lines = json.loads(said.out)["lines"]
    assert {line["answer_type"] for line in lines} == {"all", "closed", "choice", "open"}
    shown = medsift(
        "compare-models", f"{evaluated}:majority", f"{evaluated}:majority", "--margin", "0.9"
    )
    assert "non-inferior" in shown.out


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        ([], 2, "[command_invalid]"),
        (["nowhere.yaml"], 2, "[recipe_missing]"),
        (["--model", "majority", "--benchmark", "vqa_rad=gone"], 3, "no folder at 'gone'"),
        (["--model", "majority", "--benchmark", "sudoku"], 2, "sudoku"),
        (["--model", "./gone", "--benchmark", "phantoms=."], 3, "no model at"),
        (
            [
                "--model",
                "majority",
                "--model",
                "prior",
                "--adapter",
                "a",
                "--benchmark",
                "phantoms",
            ],
            2,
            "[command_invalid]",
        ),
    ],
)
def test_bad_usage_is_one_line(medsift, tmp_path, monkeypatch, words, code, error):
    monkeypatch.chdir(tmp_path)
    said = medsift("evaluate", *words, "--local")
    assert said.code == code
    assert error in said.error


def test_a_comparison_of_what_is_not_there_is_one_line(medsift, evaluated):
    said = medsift("compare-models", f"{evaluated}:gpt", f"{evaluated}:prior")
    assert said.code == 2
    assert "has no evaluation 'gpt'; it has" in said.error


@pytest.fixture
def slow_recipe(tmp_path, planted) -> Path:
    """A tiny language model that answers one request at a time."""
    path = tmp_path / "slow.yaml"
    model = saved_causal(causal(), tmp_path / "model").model_dump()
    settings = {
        "name": "slow",
        "models": [{"kind": "causal", "label": "slow", "model": model}],
        "benchmarks": [{"kind": "phantoms", "path": str(planted.root), "split": "train"}],
        "items": ITEMS,
        "resampling": {"draws": 199},
        "compute": {"requests_per_batch": 1, "workers": 2},
    }
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return path


@pytest.mark.slow
def test_a_killed_evaluation_goes_on_where_it_stopped(
    command, medsift, slow_recipe, tmp_path, monkeypatch
):
    replies = tmp_path / "medsift-runs" / "cache" / "replies"
    process = command.start("evaluate", slow_recipe, "--local")
    deadline = time.monotonic() + 200
    while len(list(replies.rglob("*.parquet"))) < 3 and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    kept = {path: path.stat().st_mtime_ns for path in replies.rglob("*.parquet")}
    monkeypatch.chdir(tmp_path)
    assert medsift("evaluate", slow_recipe, "--local").code == 0
    manifest = tmp_path / "medsift-runs" / "slow" / "manifest.duckdb"
    sql = "SELECT count(*) AS n, count(DISTINCT prompt_hash) AS asked FROM predictions"
    [held] = read(manifest, sql).to_pylist()
    assert held["n"] == ITEMS
    assert 3 <= len(kept) < held["asked"]
    parts = list(replies.rglob("*.parquet"))
    assert len(parts) == held["asked"] == sum(_rows(part) for part in parts)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


def test_every_protocol_is_named_in_the_help(medsift):
    text = medsift("evaluate", "--help").out
    assert all(name in text for name in PROTOCOLS)


def _rows(part: Path) -> int:
    import pyarrow.parquet as pq

    table = pq.read_table(part)
    assert table.column_names == REPLIES.names
    return int(table.num_rows)
