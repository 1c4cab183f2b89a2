"""A log for programs: one object a line, which says run, stage and shard."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from medsift import json_logs
from medsift.execution import LocalExecutor


@pytest.fixture(autouse=True)
def _no_context(monkeypatch):
    monkeypatch.setattr(json_logs, "_context", {})


def line(message: str = "ü %s", *arguments: object) -> dict[str, object]:
    record = logging.LogRecord("curation.x", 30, "x.py", 1, message, arguments or ("a\nb",), None)
    text = json_logs.JsonFormatter().format(record)
    assert "\n" not in text
    return json.loads(text)


def test_a_record_is_one_line_with_its_parts():
    said = line()
    assert said.pop("time").endswith("+00:00")
    assert said == {"level": "warning", "logger": "curation.x", "message": "ü a\nb"}


def test_context_is_in_every_later_line():
    json_logs.note(run="a", stage="embed")
    assert (line()["run"], line()["stage"]) == ("a", "embed")
    json_logs.note(stage="dedup")
    assert line()["stage"] == "dedup"


@pytest.mark.parametrize(
    ("out", "place"),
    [
        ("/data/runs/a/stages/embed-0123456789abcdef/images", ("a", "embed")),
        ("/data/stages/a/stages/embed-0123456789abcdef", ("a", "embed")),
        ("/data/replies", ("before", "earlier")),
        ("/data/stages", ("before", "earlier")),
    ],
)
def test_a_shard_names_itself_and_its_place_and_only_inside(out, place):
    json_logs.note(run="before", stage="earlier")
    with json_logs.shard_of(Path(out), 7):
        said = line()
    assert (said["run"], said["stage"], said["shard"]) == (*place, 7)
    assert "shard" not in line()
    assert line()["run"] == "before"


def test_workers_log_under_the_shard_that_they_work_on(tmp_path):
    seen = []

    def make():
        def work(item):
            seen.append(line()["shard"])
            yield {"rows": pa.table({"n": [item]})}

        return work

    LocalExecutor().stream([10, 20, 30], make, tmp_path / "out", lambda rows: None)
    assert seen == [0, 1, 2]


def test_an_exception_is_part_of_its_line():
    try:
        raise ZeroDivisionError("zero")
    except ZeroDivisionError:
        record = logging.LogRecord("a", 40, "x.py", 1, "failed", (), sys.exc_info())
    text = json_logs.JsonFormatter().format(record)
    assert "\n" not in text
    assert "ZeroDivisionError: zero" in json.loads(text)["exception"]


@pytest.mark.parametrize("asked", ["json", "JSON", ""])
def test_the_environment_decides_for_commands_and_for_workers(asked):
    script = (
        "import logging\nfrom medsift import json_logs\nfrom ray_jobs.console import show_logs\n"
        "show_logs(False)\nlogging.getLogger('medsift.a').warning('one')\n"
        "logging.getLogger().handlers.clear()\njson_logs.install_on_worker()\n"
        "json_logs.install_on_worker()\nlogging.getLogger('curation.b').warning('two')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"MEDSIFT_LOG_FORMAT": asked},
        capture_output=True,
        text=True,
        check=True,
    )
    first, second = done.stderr.splitlines()
    if asked:
        assert [json.loads(one)["message"] for one in (first, second)] == ["one", "two"]
    else:
        assert (first, second) == ("warning: one", "two")
