"""Several commands at once in one run directory, and a run curated again: nothing is lost."""

from __future__ import annotations

import fcntl
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from medsift.manifest import read

AT_WORK = "is at work in"


@pytest.fixture
def run_dir(planted_run: Path, tmp_path: Path) -> Path:
    """A copy of the planted run, with its recipe."""
    return Path(shutil.copytree(planted_run, tmp_path / "run"))


def ask(run_dir, sql):
    return read(run_dir / "manifest.duckdb", sql).to_pylist()


def selections(run_dir):
    sql = """
        SELECT selection, ordinal, selected, t.created_at AS made, count(s.rank) AS lines,
               count(p.row_id) AS joined
        FROM selection_settings t JOIN selections s USING (run_id, selection)
        LEFT JOIN samples p ON s.place = p.place AND s.row_id = p.row_id
        GROUP BY ALL ORDER BY ordinal
    """
    return ask(run_dir, sql)


def again(run_dir):
    """The words of the command that made the run."""
    return ("curate", run_dir / "recipe.yaml", "--local", "--run-dir", run_dir)


def by_hand(run_dir, name, budget="20"):
    return ("select", run_dir, "--name", name, "--method", "random", "--budget", budget)


@contextmanager
def held(run_dir) -> Iterator[None]:
    """Hold the directory as a command at work does."""
    with (run_dir / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def is_held(run_dir) -> bool:
    with (run_dir / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def test_two_selections_at_once_are_both_there(run_dir, command):
    with held(run_dir):
        both = [command.start(*by_hand(run_dir, name)) for name in ("one", "two")]
        # Each says that it waits, so both are past their checks when the directory becomes free.
        assert all(AT_WORK in process.stderr.readline() for process in both)
    said = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    found = selections(run_dir)
    assert {line["selection"] for line in found} == {"kept", "one", "two"}
    assert [line["ordinal"] for line in found] == [0, 1, 2]
    assert all(line["lines"] == line["joined"] == line["selected"] for line in found)


def test_of_two_selections_of_one_name_the_second_is_refused(run_dir, command):
    with held(run_dir):
        both = [command.start(*by_hand(run_dir, "one", size)) for size in ("10", "12")]
        assert all(AT_WORK in process.stderr.readline() for process in both)
    said = [process.communicate(timeout=120) for process in both]
    assert sorted(process.returncode for process in both) == [0, 2]
    [refused] = [err for (_, err), one in zip(said, both, strict=True) if one.returncode == 2]
    assert "has a selection 'one' already" in refused
    [first] = [size for size, one in zip((10, 12), both, strict=True) if one.returncode == 0]
    assert [line["lines"] for line in selections(run_dir) if line["selection"] == "one"] == [first]


@pytest.mark.slow
def test_a_selection_during_a_run_waits_for_it_and_is_added(run_dir, command):
    running = command.start(*again(run_dir))
    deadline = time.monotonic() + 60
    while not is_held(run_dir) and time.monotonic() < deadline:
        time.sleep(0.02)
    selecting = command.start(*by_hand(run_dir, "one"))
    _, err = running.communicate(timeout=120)
    assert running.returncode == 0, err
    _, err = selecting.communicate(timeout=120)
    assert selecting.returncode == 0, err
    assert [line["selection"] for line in selections(run_dir)] == ["kept", "one"]


def test_a_run_during_a_selection_is_refused_in_one_line(run_dir, medsift):
    with held(run_dir):
        said = medsift(*again(run_dir))
    assert said.code == 2
    assert "another run or selection is at work in" in said.error


def test_a_run_curated_again_keeps_what_was_added_to_it(run_dir, medsift, tmp_path):
    assert medsift(*by_hand(run_dir, "one")).code == 0
    export = ("export", run_dir, "--format", "messages", "--output", tmp_path / "out")
    assert medsift(*export).code == 0
    tables = ("selections", "selection_settings", "curves", "exports", "samples")
    before = {name: ask(run_dir, f"FROM {name} ORDER BY ALL") for name in tables}
    newest = ask(run_dir, "SELECT * FROM selected_samples ORDER BY rank")
    runs = ask(run_dir, "SELECT run_id FROM runs")
    said = medsift(*again(run_dir))
    assert said.code == 0, said.err
    assert ask(run_dir, "SELECT run_id FROM runs") == runs
    reused = ask(run_dir, "SELECT DISTINCT reused FROM stages")
    assert reused == [{"reused": True}]
    assert {name: ask(run_dir, f"FROM {name} ORDER BY ALL") for name in tables} == before
    assert before["exports"]
    assert ask(run_dir, "SELECT * FROM selected_samples ORDER BY rank") == newest
    assert newest[0]["selection"] == "one"
    assert "one" in (run_dir / "report.html").read_text(encoding="utf-8")
