"""A lock never reaches outside its run directory, waits for no pipe, and empties nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from medsift.errors import MedSiftError
from medsift.storage.replace import replacing
from medsift.storage.run_lock import claimed, open_lock


def test_a_lock_is_made_where_there_is_none_and_kept_as_it_is(tmp_path: Path) -> None:
    with open_lock(tmp_path / "lock"):
        pass
    (tmp_path / "lock").write_text("a note")
    with open_lock(tmp_path / "lock"):
        pass
    assert (tmp_path / "lock").read_text() == "a note"


@pytest.mark.parametrize("name", ["lock", ".manifest.duckdb.lock"])
@pytest.mark.parametrize("kind", ["link", "dangling", "loop", "pipe", "folder", "device"])
def test_what_stands_in_the_place_of_a_lock_is_refused_in_one_line(
    tmp_path: Path, name: str, kind: str
) -> None:
    outside, run_dir = tmp_path / "precious.txt", tmp_path / "run"
    outside.write_text("precious")
    run_dir.mkdir()
    lock = run_dir / name
    if kind == "pipe":
        os.mkfifo(lock)
    elif kind == "folder":
        lock.mkdir()
    else:
        targets = {
            "link": outside,
            "dangling": tmp_path / "new.txt",
            "loop": lock,
            "device": Path("/dev/null"),
        }
        lock.symlink_to(targets[kind])
    with (
        pytest.raises(MedSiftError) as refused,
        claimed(run_dir),
        replacing(run_dir / "manifest.duckdb"),
    ):
        raise AssertionError
    assert name in str(refused.value)
    assert "\n" not in str(refused.value)
    assert outside.read_text() == "precious"
    assert not (tmp_path / "new.txt").exists()
