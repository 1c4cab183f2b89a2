"""Whole runs of the command: interrupted, killed, repeated, watched, asked and exported."""

from __future__ import annotations

import gzip
import json
import os
import random
import signal
import subprocess
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from curation.stages import STAGES
from medsift.manifest import read
from ray_jobs.cli import run
from ray_jobs.console import RESUME

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
NAMES = [stage.name for stage in STAGES if stage.name != "filter"]
START_SECONDS = 200
MEDQUAD_LINES, PUBMEDQA_LINES = 60, 20


def ask(run_dir: Path, sql: str) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = read(run_dir / "manifest.duckdb", sql).to_pylist()
    return lines


def selection(run_dir: Path) -> list[bytes]:
    found = sorted(run_dir.glob("stages/select-*/selections/*.parquet"))
    return [part.read_bytes() for part in found]


def check_balanced(run_dir: Path, rows: int) -> None:
    funnel = ask(run_dir, "SELECT * FROM funnel ORDER BY ordinal")
    assert [line["stage"] for line in funnel] == NAMES
    assert funnel[0]["rows_in"] == rows
    for line in funnel:
        assert line["rows_in"] == line["kept"] + line["dropped"] + line["failed"]
    for before, after in pairwise(funnel):
        assert after["rows_in"] == before["kept"]
    assert ask(run_dir, "SELECT count(*) AS n FROM why") == [{"n": rows}]


# Stopped in the middle, and started again.


def stop_in_images(command, path: Path, run_dir: Path, how: signal.Signals, *words: str):
    """Start a run and send the signal once some further pictures, but not all, are done."""
    before = finished_parts(run_dir)
    process = command.start("curate", path, "--run-dir", run_dir, *words)
    deadline = time.monotonic() + START_SECONDS
    while finished_parts(run_dir).keys() <= before.keys():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    if how is signal.SIGINT:
        # A terminal sends it to every process in the foreground.
        os.killpg(process.pid, how)
    else:
        process.send_signal(how)
    try:
        out, err = process.communicate(timeout=120)
    finally:
        end_group(process)
    assert not list(run_dir.glob("stages/images-*/done.json")), "the signal came too late"
    warnings = [line for line in err.splitlines() if "warning" in line]
    assert all("columns not read: id;" in line for line in warnings), warnings
    return process.returncode, out, err


def end_group(process: subprocess.Popen[str]) -> None:
    """End what a killed driver may have left in the process group of this test's own making."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


ENGINES = [
    "--local",
    pytest.param("--ray", marks=[pytest.mark.cluster]),
]


@pytest.fixture
def slow_recipe(phantom_recipe, tmp_path) -> Path:
    """A recipe that has to encode every picture again, a few at a time."""
    compute = {"images_per_batch": 2, "rows_per_batch": 50, "workers": 2}
    return phantom_recipe(cache=str(tmp_path / "cache"), compute=compute)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_after_ctrl_c_and_then_a_kill_a_run_goes_on_to_the_same_bytes(
    engine, slow_recipe, planted_run, command, medsift, vectors, tmp_path
):
    run_dir = tmp_path / "run"
    code, out, err = stop_in_images(command, slow_recipe, run_dir, signal.SIGINT, engine)
    assert code == 130, err
    assert out == ""
    assert "Traceback" not in err
    assert err.splitlines()[-1] == RESUME
    stopped = finished_parts(run_dir)
    fewer = (engine, "--set", "compute.workers=1")
    code, _, _ = stop_in_images(command, slow_recipe, run_dir, signal.SIGKILL, *fewer)
    assert code == -signal.SIGKILL
    killed = finished_parts(run_dir)
    assert stopped.items() < killed.items()
    # What the two of them encoded goes together with vectors that another run has left.
    known = ("--set", f"cache={vectors}")
    said = medsift("curate", slow_recipe, "--local", "--run-dir", run_dir, *known)
    assert said.code == 0, said.err
    assert "warning" not in said.err
    assert [line.split()[0] for line in said.err.splitlines() if "reused" in line] == ["ingest"]
    assert killed.items() < finished_parts(run_dir).items()
    assert selection(run_dir) == selection(planted_run)
    assert not list(run_dir.rglob("*.partial"))


def finished_parts(run_dir: Path) -> dict[Path, int]:
    """When each part of the pictures was finished."""
    found = run_dir.glob("stages/images-*/pass/finished/*.json")
    return {part: part.stat().st_mtime_ns for part in found}


@pytest.mark.slow
def test_an_interrupted_ingest_goes_on_where_it_stopped(recipe, command, medsift, tmp_path):
    rows = [{"question": f"Question number {n}?", "answer": f"answer {n}"} for n in range(9)]
    path = recipe(rows, source={"shard_bytes": 120, "columns": {"license": "'CC0-1.0'"}})
    go = ("curate", path, "--local", "--run-dir", tmp_path / "run")
    assert medsift(*go).code == 0
    [ingest] = tmp_path.glob("run/stages/ingest-*")
    *before, last = sorted(ingest.glob("finished/*.json"))
    assert before
    # As a kill leaves it. The next process has another hash seed.
    (ingest / "done.json").unlink()
    last.unlink()
    times = [part.stat().st_mtime_ns for part in before]
    said = command(*go)
    assert said.code == 0, said.err
    assert "warning" not in said.err
    assert [part.stat().st_mtime_ns for part in before] == times
    assert [line.split()[0] for line in said.err.splitlines() if "reused" in line] == NAMES[1:]


# Watched.


@pytest.mark.slow
def test_json_events_stand_alone_on_stdout_and_add_up(
    phantom_recipe, planted, planted_run, medsift, tmp_path
):
    said = medsift(
        *("curate", phantom_recipe(), "--local", "--log-json", "--run-dir", tmp_path / "run")
    )
    assert said.code == 0, said.err
    events = [json.loads(line) for line in said.out.splitlines()]
    assert all({"event", "time"} <= set(event) for event in events)
    finished = [event for event in events if event["event"] == "stage_finished"]
    assert [event["stage"] for event in finished] == NAMES
    assert finished[0]["rows_in"] == planted.rows
    for event in finished:
        assert event["rows_in"] == event["kept"] + event["dropped"] + event["failed"]
    for before, after in pairwise(finished):
        assert after["rows_in"] == before["kept"]
    for event in (event for event in events if event["event"] == "stage_advanced"):
        assert event["done"] >= 0
    assert events[-1]["event"] == "run_finished"
    assert Path(events[-1]["manifest"]).is_file()
    assert selection(tmp_path / "run") == selection(planted_run)


# Exported and reported.


def test_an_export_is_noted_in_the_manifest(planted_run, medsift, tmp_path):
    [chosen] = ask(planted_run, "SELECT count(*) AS rows FROM selected_samples")
    target = tmp_path / "out"
    said = medsift("export", planted_run, "--format", "hf", "--output", target)
    assert said.code == 0, said.err
    assert f"{chosen['rows']:,} samples" in said.out
    assert target.exists()
    exports = ask(planted_run, f"SELECT format, rows FROM exports WHERE path = '{target}'")
    assert exports == [{"format": "hf", "rows": chosen["rows"]}]


def test_an_unknown_export_format_is_one_line(planted_run, medsift, tmp_path):
    said = medsift("export", planted_run, "--format", "lava", "--output", tmp_path / "out")
    assert (said.code, said.error_code) == (2, "export_format_unknown")


def test_a_report_is_written_again_from_the_manifest(planted_run, medsift, tmp_path):
    target = tmp_path / "again.html"
    said = medsift("report", planted_run, "--output", target)
    assert (said.code, said.out) == (0, f"{target}\n"), said.err
    once = target.read_bytes()
    (planted_run / "report.html").unlink()
    assert medsift("report", planted_run).code == 0
    assert (planted_run / "report.html").read_bytes() == once


# The real files.


@pytest.fixture(scope="module")
def real_run(vqa_rad, vectors, tmp_path_factory):
    """VQA-RAD by the shipped recipe."""
    folder = tmp_path_factory.mktemp("vqa-rad")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDSIFT_DATA", str(vqa_rad.parent))
        patch.chdir(folder)
        words = ["curate", "vqa_rad", "--local", "--run-dir", str(folder / "run")]
        assert run([*words, "--set", f"cache={vectors}"]) == 0
    return folder / "run"


@pytest.mark.nightly
@pytest.mark.slow
def test_vqa_rad_is_balanced_and_every_row_is_there(real_run):
    check_balanced(real_run, 2_248)
    assert ask(real_run, "SELECT status FROM runs") == [{"status": "balanced"}]
    assert ask(real_run, "SELECT count(*) AS n FROM why WHERE action = 'failed'") == [{"n": 0}]
    # One of the 315 pictures belongs to no row.
    assert ask(real_run, "SELECT count(*) AS n FROM images") == [{"n": 314}]


@pytest.mark.nightly
@pytest.mark.slow
@pytest.mark.parametrize(
    ("sql", "count"),
    [
        ("samples WHERE list_contains(notes, 'answer: integer read as text')", 5),
        ("samples WHERE len(list_filter(notes, lambda n: n LIKE 'answer_type: %trimmed')) > 0", 2),
        ("samples WHERE len(list_filter(notes, lambda n: n LIKE '%: tabs replaced')) > 0", 10),
        ("samples WHERE question LIKE '%' || chr(9) || '%' OR answer LIKE '%' || chr(9)", 0),
        ("samples WHERE len(list_filter(notes, lambda n: n LIKE '%not yes or no')) > 0", 106),
        ("samples WHERE answer_type NOT IN ('closed', 'open', 'choice')", 0),
        ("samples WHERE task_type SIMILAR TO '.*(PRSE|ATRIB|[a-z, ]).*'", 0),
        ("samples WHERE task_type LIKE '%+%'", 34),
        ("samples WHERE task_type = 'PRES+POS'", 0),
        ("samples WHERE split = 'test'", 451),
        ("why WHERE reason = 'exact_copy'", 4),
        ("why WHERE reason IN ('image_copy', 'image_blank')", 0),
    ],
)
def test_each_defect_of_vqa_rad_is_seen(real_run, sql, count):
    assert ask(real_run, f"SELECT count(*) AS n FROM {sql}") == [{"n": count}]


@pytest.mark.nightly
@pytest.mark.slow
def test_vqa_rad_leaks_nearly_every_test_picture(real_run):
    sql = (
        "SELECT count(DISTINCT picture.image_id) AS n FROM ("
        "SELECT unnest(images) AS picture FROM samples WHERE row_id IN (SELECT item_id FROM leaks)"
        " OR row_id IN (SELECT row_id FROM leaks))"
    )
    assert ask(real_run, sql)[0]["n"] >= 202


@pytest.mark.nightly
@pytest.mark.slow
def test_shuffled_lines_of_vqa_rad_keep_the_same_samples(
    real_run, vqa_rad, vectors, medsift, monkeypatch, tmp_path
):
    lines = (vqa_rad / "vqa_rad.jsonl").read_bytes().splitlines(keepends=True)
    random.Random(11).shuffle(lines)
    shuffled = tmp_path / "shuffled.jsonl"
    shuffled.write_bytes(b"".join(lines))
    monkeypatch.setenv("MEDSIFT_DATA", str(vqa_rad.parent))
    said = medsift(
        *("curate", RECIPES / "vqa_rad.yaml", "--local", "--run-dir", tmp_path / "run"),
        *("--set", f"sources.0.path={shuffled}", "--set", f"cache={vectors}"),
    )
    assert said.code == 0, said.err
    chosen = "SELECT selection, rank, sample_id, weight FROM selections ORDER BY ALL"
    assert ask(tmp_path / "run", chosen) == ask(real_run, chosen)
    assert len({line["selection"] for line in ask(real_run, chosen)}) == 5


@pytest.mark.nightly
@pytest.mark.slow
def test_medical_text_by_the_shipped_recipe(medical_text, vectors, medsift, monkeypatch, tmp_path):
    folder = tmp_path / "medical-text"
    folder.mkdir()
    with gzip.open(medical_text / "medquad_answered.jsonl.gz") as whole:
        lines = [next(whole) for _ in range(MEDQUAD_LINES)]
    with gzip.open(folder / "medquad_answered.jsonl.gz", "wb") as part:
        part.writelines(lines)
    abstracts = (medical_text / "pubmedqa_pqal.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "pubmedqa_pqal.jsonl").write_bytes(b"".join(abstracts[:PUBMEDQA_LINES]))
    monkeypatch.setenv("MEDSIFT_DATA", str(tmp_path))
    said = medsift(
        *("curate", "medical_text", "--local", "--run-dir", tmp_path / "run"),
        *("--set", f"cache={vectors}"),
    )
    assert said.code == 0, said.err
    check_balanced(tmp_path / "run", MEDQUAD_LINES + PUBMEDQA_LINES)
    sources = ask(tmp_path / "run", "SELECT source, count(*) AS n FROM selected_samples GROUP BY 1")
    assert {line["source"] for line in sources} == {"pubmedqa", "medquad"}
