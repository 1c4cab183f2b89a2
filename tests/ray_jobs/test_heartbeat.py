"""A run directory tells what works in it, and when that ceased without an end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from medsift.errors import InputError
from medsift.progress import StageAdvanced, StageFinished, StageStarted, TrialFinished
from medsift.storage.heartbeat import FOLDER, Heartbeat, read_heartbeats, write_heartbeat
from ray_jobs.heartbeat import Beating, beating, run_facts
from tests.expect import raises_code

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def beat(**changed: object) -> Heartbeat:
    settings = {
        "command": "curate",
        "state": "running",
        "started": NOW,
        "time": NOW,
        "interval": 10.0,
        "host": "far",
        "pid": 1,
    }
    return Heartbeat.model_validate(settings | changed)


@pytest.mark.parametrize(
    ("seconds", "condition"), [(0, "running"), (30, "running"), (31, "stale"), (10**6, "stale")]
)
def test_a_process_elsewhere_counts_as_gone_after_three_missed_signs(seconds, condition):
    assert beat().condition(NOW + timedelta(seconds=seconds)) == condition


def test_a_process_of_this_machine_that_is_gone_is_noticed_at_once():
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    here = {"host": socket.gethostname()}
    assert beat(**here, pid=done.pid).condition(NOW) == "stale"
    assert beat(**here, pid=os.getpid()).condition(NOW) == "running"


@pytest.mark.parametrize("state", ["finished", "failed", "interrupted"])
def test_an_end_that_was_written_stays_the_end(state):
    assert beat(state=state).condition(NOW + timedelta(days=9)) == state


def test_a_listener_writes_the_stage_at_once_and_passes_every_event_on(tmp_path):
    events: list[object] = []
    with beating(tmp_path, "curate", events.append) as listener:
        assert not (tmp_path / FOLDER).exists()
        listener(StageStarted("embed", 10, "images"))
        [now] = read_heartbeats(tmp_path)
        assert (now.state, now.stage, now.done, now.pid) == ("running", "embed", 0, os.getpid())
        assert run_facts(tmp_path)[1] == 0
        listener(StageAdvanced("embed", 7))
        listener(StageFinished("embed", 10, 9, 1, 0, 0.1, False))
    [end] = read_heartbeats(tmp_path)
    assert (end.state, end.stage, end.done, end.exit_code) == ("finished", "embed", 10, 0)
    assert len(events) == 3


def test_signs_are_written_at_intervals_while_the_work_is_silent(tmp_path):
    with Beating(tmp_path, "curate", lambda event: None, interval=0.05) as listener:
        listener(StageStarted("embed", 10, "images"))
        [first] = read_heartbeats(tmp_path)
        listener(StageAdvanced("embed", 4))
        deadline = time.monotonic() + 20
        while read_heartbeats(tmp_path)[0].time == first.time and time.monotonic() < deadline:
            time.sleep(0.02)
        [later] = read_heartbeats(tmp_path)
        assert later.time > first.time
        assert later.done == 4


def test_trials_of_a_study_are_counted(tmp_path):
    with beating(tmp_path, "study", lambda event: None) as listener:
        for name in "abc":
            listener(TrialFinished(name, False, None))
    assert read_heartbeats(tmp_path)[0].done == 3


@pytest.mark.parametrize(
    ("error", "state", "code", "name"),
    [
        (InputError("no", code="file_unreadable"), "failed", 3, "file_unreadable"),
        (KeyboardInterrupt(), "interrupted", 130, ""),
        (SystemExit(143), "interrupted", 143, ""),
        (ZeroDivisionError(), "failed", 1, "ZeroDivisionError"),
    ],
)
def test_how_a_command_failed_is_written_and_is_the_status_shown(
    tmp_path, error, state, code, name
):
    def work() -> None:
        with beating(tmp_path, "curate", lambda event: None) as listener:
            listener(StageStarted("embed", None, ""))
            raise error

    with pytest.raises(type(error)):
        work()
    facts, shown = run_facts(tmp_path)
    assert (facts["status"], shown, facts["error"]) == (state, code, name)


def test_a_command_that_is_refused_before_it_works_leaves_no_sign(tmp_path):
    with pytest.raises(ZeroDivisionError), beating(tmp_path, "curate", lambda event: None):
        raise ZeroDivisionError
    with raises_code("heartbeat_missing", path=str(tmp_path)):
        run_facts(tmp_path)


def test_what_runs_is_shown_before_what_ended_later(tmp_path):
    now = datetime.now(UTC)
    write_heartbeat(tmp_path, beat(time=now))
    write_heartbeat(tmp_path, beat(command="select", state="finished", time=now, exit_code=0))
    facts, code = run_facts(tmp_path)
    assert (facts["command"], code, facts["others"]) == ("curate", 0, "select finished")


def test_a_killed_command_is_stale_until_it_runs_again(tmp_path):
    script = (
        "import os, signal, sys\nfrom pathlib import Path\n"
        "from medsift.progress import StageStarted\n"
        "from ray_jobs.heartbeat import beating\n"
        "with beating(Path(sys.argv[1]), 'curate', print) as listener:\n"
        "    listener(StageStarted('embed', 1, ''))\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    facts, code = run_facts(tmp_path)
    assert (facts["status"], facts["stage"], code) == ("stale", "embed", 4)
    with beating(tmp_path, "curate", lambda event: None) as listener:
        listener(StageStarted("embed", 1, ""))
    assert [one.state for one in read_heartbeats(tmp_path)] == ["finished"]


def test_a_command_that_is_asked_to_end_writes_that_it_was_interrupted(tmp_path):
    script = (
        "import os, signal, sys\nfrom pathlib import Path\n"
        "from medsift.progress import StageStarted\n"
        "from ray_jobs.heartbeat import beating\n"
        "with beating(Path(sys.argv[1]), 'curate', print) as listener:\n"
        "    listener(StageStarted('embed', 1, ''))\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
    )
    ended = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    assert ended.returncode == 143
    [left] = read_heartbeats(tmp_path)
    assert (left.state, left.exit_code) == ("interrupted", 143)


@pytest.mark.parametrize(
    ("handler", "replaced"),
    [(signal.SIG_DFL, True), (signal.SIG_IGN, False), (lambda number, frame: None, False)],
    ids=["default", "ignored", "own"],
)
def test_only_the_default_of_a_signal_is_replaced_and_comes_back(tmp_path, handler, replaced):
    # Ray, if another test started it in this process, has left a handler of its own.
    before = signal.signal(signal.SIGTERM, handler)
    try:
        with beating(tmp_path, "curate", lambda event: None):
            assert (signal.getsignal(signal.SIGTERM) is not handler) == replaced
        assert signal.getsignal(signal.SIGTERM) is handler
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_disk_that_refuses_the_heartbeat_does_not_end_the_work(tmp_path):
    (tmp_path / FOLDER).write_text("in the way")
    with beating(tmp_path, "curate", lambda event: None) as listener:
        listener(StageStarted("embed", 1, ""))


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"command": "curate"}', "\0"])
def test_a_damaged_heartbeat_is_passed_over(tmp_path, damage):
    write_heartbeat(tmp_path, beat())
    (tmp_path / FOLDER / "train.json").write_text(damage)
    assert [one.command for one in read_heartbeats(tmp_path)] == ["curate"]


def test_the_command_shows_a_run_directory_in_words_and_as_json(medsift, planted_run, tmp_path):
    said = medsift("status", planted_run)
    assert said.code == 0
    assert "finished" in said.out
    facts = json.loads(medsift("status", planted_run, "--format", "json").out)
    assert facts["run_dir"] == str(planted_run)
    assert (facts["command"], facts["status"], facts["job"]) == ("curate", "finished", "")
    assert medsift("status", tmp_path).error_code == "heartbeat_missing"
    assert medsift("status", Path("no-such-job")).error_code == "option_invalid"
