"""People get aligned lines, machines get one JSON object per event and nothing else."""

from __future__ import annotations

import io
import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from medsift.errors import InputError
from medsift.progress import (
    RunFinished,
    StageAdvanced,
    StageFinished,
    StageStarted,
    StageWarned,
    StepLine,
    StudyFinished,
    TrainingBegun,
    TrialFinished,
)
from ray_jobs import progress_views
from ray_jobs.console import one_line, print_error, shown
from ray_jobs.progress_views import JsonLinesView, TerminalView, announced

RUN = RunFinished(
    run_id="0123456789ab",
    run_dir=Path("runs/a b"),
    manifest=Path("runs/a b/manifest.duckdb"),
    report=Path("runs/a b/report.html"),
)
MEMORY = {
    name: 10.0 * place
    for place, name in enumerate(
        (
            *("learn", "generate", "device", "weights", "gradients", "optimiser"),
            *("activations", "logits", "cache"),
        )
    )
}
BEGUN = TrainingBegun(
    "t-1", 12, 1, 3, 8, 0, "⟦yes⟧", notes=("no benchmark was compared",), memory=MEMORY
)
STUDY = StudyFinished("s-1", "r", Path("m"), Path("p"), trials=6, failed=1)


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
    with TerminalView(out) as people:
        for event in EVENTS:
            people(event)
        people(RUN)
    lines = out.getvalue().splitlines()
    assert lines[0].split() == ["stage", "in", "kept", "dropped", "failed", "seconds"]
    assert lines[1].split() == ["ingest", "1,234,567", "1,234,500", "60", "7", "12.3"]
    assert lines[2].split() == ["images", "1,234,500", "1,234,500", "0", "0", "3.0", "reused"]
    assert len(lines[0]) == len(lines[1])
    assert "medsift query 'runs/a b' \"SELECT * FROM funnel\"" in out.getvalue()
    assert "\x1b" not in out.getvalue()


def test_a_warning_is_heard_when_it_is_given_and_stands_again_at_the_end():
    people, machine = io.StringIO(), io.StringIO()
    for listener in (TerminalView(people), JsonLinesView(machine)):
        listener(StageWarned("embed", "five texts"))
        listener(replace(RUN, warnings=("five texts",)))
    assert people.getvalue().splitlines()[0] == "warning: embed: five texts"
    assert "warning: five texts" in people.getvalue().splitlines()
    warned, finished = (json.loads(line) for line in machine.getvalue().splitlines())
    assert (warned["event"], warned["message"]) == ("stage_warned", "five texts")
    assert finished["warnings"] == ["five texts"]


def test_a_terminal_shows_rate_and_time_left_and_keeps_only_the_lines():
    terminal = Console(file=(screen := io.StringIO()), force_terminal=True, width=100)
    people = TerminalView(screen)
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
    monkeypatch.setattr(progress_views, "PLAIN_SECONDS", 0.0)
    out = io.StringIO()
    with TerminalView(out) as people:
        people(EVENTS[0])
        people(EVENTS[1])
    assert out.getvalue() == "ingest: 500 rows so far\n"


def step(number: int, **figures: float) -> StepLine:
    figures = dict.fromkeys(StepLine.__slots__, 0.5) | {"held_out_loss": None} | figures
    return StepLine(**figures | {"step": number})


def test_a_training_shows_its_example_once_and_its_first_step_at_once():
    out = io.StringIO()
    with TerminalView(out) as people:
        for event in (BEGUN, step(1), step(2), step(3, held_out_loss=0.25)):
            people(event)
        people(replace(BEGUN, resumed_step=2))
    lines = out.getvalue().splitlines()
    assert lines[0] == "t-1: 12 samples, 8 steps, 3 held out, 1 dropped (table training_drops)"
    memory, note, _, example, first, measured, last = lines[1:]
    assert re.findall(r"\d+", memory) == ["0", "10", "20", "30", "40", "50", "60", "70", "80"]
    assert note == "note: no benchmark was compared"
    assert example == BEGUN.example
    assert first == "step 1 of 8: loss 0.5000, rate 5.00e-01, 0 tokens/s"
    assert measured == "step 3: held-out loss 0.2500"
    assert last.endswith("step 2")


def test_a_study_has_a_line_for_each_trial():
    out = io.StringIO()
    with TerminalView(out) as people:
        people(StageStarted("tiny", 3, "trials"))
        for event in (
            TrialFinished("a", reused=False, error=None),
            TrialFinished("b", reused=True, error=None),
            TrialFinished("c", reused=False, error="a worker ended"),
            STUDY,
        ):
            people(event)
    assert out.getvalue().splitlines() == ["a", "b  reused", "c failed: a worker ended"]


def test_machines_read_every_event_as_one_object():
    out = io.StringIO()
    machine = JsonLinesView(out)
    for event in (*EVENTS, RUN, BEGUN, step(1), TrialFinished("a", True, None), STUDY):
        machine(event)
    objects = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [entry["event"] for entry in objects] == [
        *["stage_started", "stage_advanced", "stage_finished"] * 2,
        *("run_finished", "training_begun", "step_line", "trial_finished", "study_finished"),
    ]
    assert all(entry["time"].endswith("+00:00") for entry in objects)
    finished = objects[2]
    assert finished["rows_in"] == finished["kept"] + finished["dropped"] + finished["failed"]
    assert objects[6]["manifest"] == "runs/a b/manifest.duckdb"


@pytest.mark.parametrize(
    ("error", "fields"),
    [
        (
            InputError("two\nlines", code="input_missing", path=Path("a")),
            ("InputError", "two lines", 3, "input_missing", {"path": "a"}),
        ),
        (KeyboardInterrupt(), ("KeyboardInterrupt", "KeyboardInterrupt", 130, "interrupted", {})),
    ],
)
def test_how_a_command_fails_is_its_last_event(error, fields, capsys):
    with pytest.raises(type(error)), announced(log_json=True):
        raise error
    [event] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert event.pop("time")
    names = ("kind", "message", "exit_code", "code", "values")
    assert event == {"event": "error", **dict(zip(names, fields, strict=True))}


def test_what_a_library_prints_stays_out_of_the_json(capsys):
    with announced(log_json=True) as machine:
        sys.stdout.write("a stray notice\n")
        machine(EVENTS[0])
    captured = capsys.readouterr()
    assert json.loads(captured.out)["stage"] == "ingest"
    assert captured.err == "a stray notice\n"


@pytest.mark.parametrize(
    ("code", "line"), [("", "error: a\\x1bb"), ("run_unknown", "error[run_unknown]: a\\x1bb")]
)
def test_an_error_line_shows_its_code_and_no_control_characters(code, line, capsys):
    print_error("a\x1bb", code)
    assert capsys.readouterr().err == f"{line}\n"


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
