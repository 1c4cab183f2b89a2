"""Mirrors stay below their size: the longest unused goes, and nothing that a process uses."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from medsift.storage import mirror, mirror_size
from medsift.storage.mirror import fetch, mirror_of, publish
from tests.expect import raises_code

KILO = 1 << 10
USES = """
import sys
from pathlib import Path
from medsift.storage.mirror import fetch, mirror_of
fetch(mirror_of(sys.argv[1]))
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def url(bucket_url, tmp_path, monkeypatch) -> str:
    """A bucket with three files of 64 kB, which no process has mirrored yet."""
    for name in "abc":
        (tmp_path / name).write_bytes(name.encode() * 64 * KILO)
        publish(tmp_path / name, mirror_of(f"{bucket_url}/run/{name}"))
    forget(monkeypatch)
    return bucket_url


def forget(monkeypatch) -> None:
    """Be a new process."""
    monkeypatch.setattr(mirror, "_compared", set())
    mirror_size._join.cache_clear()


def here(url: str) -> list[str]:
    folder = mirror_of(f"{url}/run")
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def unused_for(path: Path, seconds: int) -> None:
    facts = path.stat()
    os.utime(path, ns=(facts.st_atime_ns - seconds * 10**9, facts.st_mtime_ns - seconds * 10**9))


def test_the_longest_unused_goes_when_the_next_process_begins(url, monkeypatch):
    for age, name in ((30, "a"), (20, "b"), (10, "c")):
        unused_for(fetch(mirror_of(f"{url}/run/{name}")), age)
    fetch(mirror_of(f"{url}/run/a"))  # used again
    forget(monkeypatch)
    assert here(url) == ["a", "b", "c"]
    monkeypatch.setenv("MEDSIFT_CACHE_SIZE", "150kB")
    fetch(mirror_of(f"{url}/run/a"))
    assert here(url) == ["a", "c"]
    assert fetch(mirror_of(f"{url}/run/b")).read_bytes()[:1] == b"b"


def test_scratch_goes_as_a_whole_and_locks_stay(url, monkeypatch):
    fetch(mirror_of(f"{url}/run/a"))
    run = mirror_of(f"{url}/run")
    for name in ("vectors/ids", "vectors/matrix"):
        path = run / ".mapped" / "images-1" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(64 * KILO))
        unused_for(path, 100)
    (run / "lock").touch()
    forget(monkeypatch)
    monkeypatch.setenv("MEDSIFT_CACHE_SIZE", "100kB")
    fetch(mirror_of(f"{url}/run/a"))
    assert list((run / ".mapped").iterdir()) == []
    assert here(url) == ["a", "lock"]


def test_nothing_is_taken_from_a_process_that_runs(url, monkeypatch):
    other = subprocess.Popen(
        [sys.executable, "-c", USES, f"{url}/run/c"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
        monkeypatch.setenv("MEDSIFT_CACHE_SIZE", "1")
        fetch(mirror_of(f"{url}/run/a"))
        assert here(url) == ["a", "c"]
    finally:
        other.communicate()
    forget(monkeypatch)
    fetch(mirror_of(f"{url}/run/b"))
    assert here(url) == ["b"]


def test_what_is_no_size_is_refused(url, monkeypatch):
    monkeypatch.setenv("MEDSIFT_CACHE_SIZE", "much")
    with raises_code("option_invalid", option="MEDSIFT_CACHE_SIZE"):
        fetch(mirror_of(f"{url}/run/a"))
