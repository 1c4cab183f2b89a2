"""A Ray that is late on this machine is started again; one that never starts is one line."""

from __future__ import annotations

from typing import Any

import pytest
import ray

from ray_jobs.cluster import START_ATTEMPTS, connected
from tests.expect import raises_code


def test_a_ray_that_is_late_is_started_again(monkeypatch: pytest.MonkeyPatch):
    started: list[dict[str, Any]] = []

    def late(**options: Any) -> None:
        started.append(options)
        if len(started) < START_ATTEMPTS:
            raise RuntimeError("The current node timed out during startup.")

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    for name, action in {"init": late, "shutdown": list, "is_initialized": list}.items():
        monkeypatch.setattr(ray, name, action)
    with connected(3):
        assert len(started) == START_ATTEMPTS
    assert {options["num_cpus"] for options in started} == {3}


def replace_start(monkeypatch: pytest.MonkeyPatch, errors: list[Exception]) -> list[Exception]:
    """Have each start of Ray raise the next error; return those that were raised."""
    raised: list[Exception] = []

    def refuse(**_: Any) -> None:
        raised.append(errors[len(raised)])
        raise raised[-1]

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    for name, action in {"init": refuse, "shutdown": list, "is_initialized": list}.items():
        monkeypatch.setattr(ray, name, action)
    return raised


def test_every_reason_for_not_starting_is_named(monkeypatch: pytest.MonkeyPatch):
    errors = [RuntimeError("no room"), RuntimeError("no room"), ConnectionError("late")]
    raised = replace_start(monkeypatch, errors)
    with raises_code("ray_not_started") as caught, connected(3):
        pass
    assert raised == errors
    assert "no room; then: late" in str(caught.value)


def test_an_option_that_ray_refuses_is_not_tried_again(monkeypatch: pytest.MonkeyPatch):
    raised = replace_start(monkeypatch, [ValueError("num_cpus"), ValueError("num_cpus")])
    with pytest.raises(ValueError, match="num_cpus"), connected(3):
        pass
    assert len(raised) == 1


@pytest.mark.slow
def test_a_ray_that_does_not_start_is_one_line(recipe, command, tmp_path, monkeypatch):
    # Ray keeps sockets there, whose paths the system limits to a hundred letters or so.
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / ("long" * 30)))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    path = recipe([{"question": "Is it clear?", "answer": "yes"}])
    said = command("curate", path, "--ray", "--run-dir", tmp_path / "run")
    assert said.code == 2, said.err
    assert said.error_code == "ray_not_started"
    assert "Traceback" not in said.err
