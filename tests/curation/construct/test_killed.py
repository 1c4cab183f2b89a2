"""A construction that is killed again and again asks for nothing that it has, and ends the same."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time

import pytest
import yaml

from curation.construct.construct import construct
from medsift.manifest import read
from tests.curation.construct.conftest import case, recipe_for, write_run

KILLS = 10
SAMPLES = 40
WINDOW = 8
SEED_DIGITS = 7


def results(run):
    """Traces and attempts, without the times that differ."""
    manifest = run / "manifest.duckdb"
    attempts = read(manifest, "SELECT * EXCLUDE (latency_s) FROM attempts ORDER BY ALL")
    return read(manifest, "SELECT * FROM traces ORDER BY ALL").to_pylist(), attempts.to_pylist()


def stored_seeds(run):
    """The seeds of the replies that are on the disk, whole."""
    log = run / "replies" / "replies.jsonl"
    lines = log.read_bytes().split(b"\n")[:-1] if log.exists() else []
    return {int(json.loads(line)["id"][:SEED_DIGITS], 16) for line in lines}


@pytest.mark.timeout(1800)
def test_ten_kills_change_no_trace_and_repeat_no_stored_request(tmp_path, serve):
    run = write_run(tmp_path / "run", [case(number) for number in range(SAMPLES)])
    whole = write_run(tmp_path / "whole", [case(number) for number in range(SAMPLES)])
    construct(recipe_for(whole, serve()))
    server = serve(seconds=0.02)
    recipe = recipe_for(run, server, teacher={"parallel": WINDOW})
    file = tmp_path / "recipe.yaml"
    file.write_text(yaml.safe_dump(recipe.resolved()))
    command = [sys.executable, "-m", "ray_jobs", "construct", str(file)]
    lots = random.Random(0)
    for _ in range(KILLS):
        known, before = stored_seeds(run), len(server.requests)
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = before + lots.randint(1, 12)
        while len(server.requests) < until and process.poll() is None:
            time.sleep(0.001)
        assert process.poll() is None
        process.kill()
        process.wait()
        assert known.isdisjoint(server.seeds[before:])
    known, before = stored_seeds(run), len(server.requests)
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert known.isdisjoint(server.seeds[before:])
    assert results(run) == results(whole)
    # Asked twice are at most the requests that were under way when a kill came.
    assert len(server.seeds) - len(set(server.seeds)) <= KILLS * WINDOW
    again = len(server.requests)
    assert subprocess.run(command, capture_output=True).returncode == 0
    assert len(server.requests) == again
