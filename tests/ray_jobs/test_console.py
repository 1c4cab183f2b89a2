"""People get aligned lines, machines get one JSON object per event and nothing else."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from rich.console import Console

from medsift.errors import InputError
from medsift.progress import StageAdvanced, StageFinished, StageStarted, StageWarned
from ray_jobs import console
from ray_jobs.console import HumanAudience, JsonAudience, audience, one_line, shown


@dataclass
class Result:
    run_id: str = "0123456789ab"
    run_dir: Path = Path("runs/a b")
    manifest: Path = Path("runs/a b/manifest.duckdb")
    report: Path = Path("runs/a b/report.html")
    warnings: tuple[str, ...] = ()


EVENTS = (
    StageStarted("ingest", None, "rows"),
    StageAdvanced("ingest", 500),
    StageFinished("ingest", 1_234_567, 1_234_500, 60, 7, 12.34, False),
    StageStarted("images", 300, "images"),
    StageAdvanced("images", 300),
    StageFinished("images", 1_234_500, 1_234_500, 0, 0, 3.0, True),
)


def test_people_read_one_aligned_line_for_each_stage():
    out = io.StringIO()
    with HumanAudience(out) as people:
        for event in EVENTS:
            people(event)
        people.finished(Result())
    lines = out.getvalue().splitlines()
    assert lines[0].split() == ["stage", "in", "kept", "dropped", "failed", "seconds"]
    assert lines[1].split() == ["ingest", "1,234,567", "1,234,500", "60", "7", "12.3"]
    assert lines[2].split() == ["images", "1,234,500", "1,234,500", "0", "0", "3.0", "reused"]
    assert len(lines[0]) == len(lines[1])
    assert "medsift query 'runs/a b' \"SELECT * FROM funnel\"" in out.getvalue()
    assert "\x1b" not in out.getvalue()


def test_a_warning_is_heard_when_it_is_given_and_stands_again_at_the_end():
    people, machine = io.StringIO(), io.StringIO()
    for listener in (HumanAudience(people), JsonAudience(machine)):
        listener(StageWarned("embed", "five texts"))
        listener.finished(Result(warnings=("five texts",)))
    assert people.getvalue().splitlines()[0] == "warning: embed: five texts"
    assert "warning: five texts" in people.getvalue().splitlines()
    warned, finished = (json.loads(line) for line in machine.getvalue().splitlines())
    assert (warned["event"], warned["message"]) == ("stage_warned", "five texts")
    assert finished["warnings"] == ["five texts"]


def test_a_terminal_shows_rate_and_time_left_and_keeps_only_the_lines():
    terminal = Console(file=(screen := io.StringIO()), force_terminal=True, width=100)
    people = HumanAudience(screen)
    people.console, people.bar.live.console, people.bar.disable = terminal, terminal, False
    with people:
        people(StageStarted("images", 300, "images"))
        people(StageAdvanced("images", 150))
        drawn = people.bar.get_renderable()
        with terminal.capture() as capture:
            terminal.print(drawn)
        people(StageFinished("images", 300, 299, 0, 1, 3.0, False))
        assert not people.bar.tasks
    assert "150/300 images" in capture.get()
    assert "images" in screen.getvalue()


def test_a_long_stage_speaks_now_and_then_without_a_terminal(monkeypatch):
    monkeypatch.setattr(console, "PLAIN_SECONDS", 0.0)
    out = io.StringIO()
    with HumanAudience(out) as people:
        people(EVENTS[0])
        people(EVENTS[1])
    assert out.getvalue() == "ingest: 500 rows so far\n"


def test_machines_read_every_event_as_one_object():
    out = io.StringIO()
    machine = JsonAudience(out)
    for event in EVENTS:
        machine(event)
    machine.finished(Result())
    machine.failed(InputError("two\nlines"), 3)
    objects = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [entry["event"] for entry in objects] == [
        *["stage_started", "stage_advanced", "stage_finished"] * 2,
        "run_finished",
        "error",
    ]
    assert all(entry["time"].endswith("+00:00") for entry in objects)
    finished = objects[2]
    assert finished["rows_in"] == finished["kept"] + finished["dropped"] + finished["failed"]
    assert objects[-2]["manifest"] == "runs/a b/manifest.duckdb"
    assert objects[-1]["message"] == "two lines"
    assert (objects[-1]["kind"], objects[-1]["exit_code"]) == ("InputError", 3)


def test_what_a_library_prints_stays_out_of_the_json(capsys):
    with audience(log_json=True) as machine:
        sys.stdout.write("a stray notice\n")
        machine(EVENTS[0])
    captured = capsys.readouterr()
    assert json.loads(captured.out)["stage"] == "ingest"
    assert captured.err == "a stray notice\n"


@pytest.mark.parametrize(
    ("error", "line"),
    [(ValueError("a\n  b"), "a b"), (KeyboardInterrupt(), "KeyboardInterrupt")],
)
def test_an_error_is_one_line(error, line):
    assert one_line(error) == line


def test_paths_are_short_where_they_can_be(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert shown(tmp_path / "runs" / "a") == "runs/a"
    assert shown(Path("/elsewhere/a")) == "/elsewhere/a"
