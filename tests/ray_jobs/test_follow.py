"""A log is written once and whole, and a job ends as its status says, whatever the stream does."""

from __future__ import annotations

import random
from types import SimpleNamespace

import pytest

from ray_jobs.jobs import follow as follow_module
from ray_jobs.jobs.follow import Follower, outcome
from ray_jobs.jobs.server import ServerLostError
from ray_jobs.jobs.stop import wait_for_end
from tests.expect import raises_code


def details(status: str, code: int | None = None, message: str = ""):
    from ray.job_submission import JobStatus

    return SimpleNamespace(status=JobStatus(status), driver_exit_code=code, message=message)


class Weather:
    """A job server that fails as drawn, and a job that ends after so many streams."""

    def __init__(self, log: str, seed: int, end: str = "SUCCEEDED", streams: int = 6) -> None:
        self.text, self.end, self.left = log, end, streams
        self.draw = random.Random(seed)

    def details(self, job: str):
        if self.draw.random() < 0.3:
            raise ServerLostError("away")
        return details("RUNNING" if self.left > 0 else self.end, 3 if self.end == "FAILED" else 0)

    def log(self, job: str) -> str:
        return self.text

    async def log_pieces(self, job: str):
        self.left -= 1
        there = self.draw.randrange(len(self.text) + 1)
        position = 0
        while position < there:
            size = self.draw.randrange(1, 30)
            yield self.text[position : min(position + size, there)]
            position += size
        if self.draw.random() < 0.5:
            raise ServerLostError("broken")


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr(follow_module, "FIRST_WAIT_SECONDS", 0.0)
    monkeypatch.setattr(follow_module, "LONGEST_WAIT_SECONDS", 0.0)


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize(("end", "code"), [("SUCCEEDED", 0), ("FAILED", 3), ("STOPPED", 130)])
def test_a_log_is_written_once_and_whole_through_streams_that_break(seed, end, code):
    log = "".join(f"line {number} ü\n" for number in range(40))
    written: list[str] = []
    follower = Follower(Weather(log, seed, end), "job", written.append, lambda line: None)
    ended = follower.follow()
    assert "".join(written) == log
    assert (ended.status, ended.exit_code) == (end, code)


def test_a_stream_that_hangs_does_not_hide_the_end_of_the_job(monkeypatch):
    monkeypatch.setattr(follow_module, "QUIET_SECONDS", 0.01)

    class Hanging(Weather):
        async def log_pieces(self, job: str):
            import asyncio

            yield self.text[:5]
            self.left = 0
            await asyncio.sleep(3600)

        def details(self, job: str):
            return details("RUNNING" if self.left else "SUCCEEDED")

    written: list[str] = []
    Follower(Hanging("all of it", 0), "job", written.append, lambda line: None).follow()
    assert "".join(written) == "all of it"


def test_following_ends_when_the_server_stays_silent_for_too_long():
    class Gone(Weather):
        def details(self, job: str):
            raise ServerLostError("away")

    notes: list[str] = []
    follower = Follower(Gone("x", 0), "job", print, notes.append, patience=0.05)
    with raises_code("job_server_lost", job="job"):
        follower.follow()
    assert len(notes) == 1


def test_a_failure_without_an_exit_status_is_still_a_failure():
    assert outcome(details("FAILED", None)).exit_code == 1
    assert outcome(details("FAILED", 0)).exit_code == 1
    assert outcome(details("SUCCEEDED", None)).exit_code == 0


def test_waiting_for_the_end_of_a_job_that_does_not_end_is_an_error():
    with raises_code("job_not_stopped", status="RUNNING"):
        wait_for_end(SimpleNamespace(details=lambda job: details("RUNNING")), "job", seconds=0.01)
