"""Unfinished files of killed writers are removed, and those of others are left alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from medsift.storage.partial_names import partial_name, remove_abandoned, writer_is_gone

WRITER = """
import sys
from pathlib import Path
from medsift.storage.partial_names import partial_name
for name in sys.argv[1:]:
    path = partial_name(Path(name))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir() if path.name.startswith(".folder") else path.write_text("half")
    print(path)
"""


def left_by_a_killed_writer(*paths: Path) -> list[Path]:
    command = [sys.executable, "-c", WRITER, *map(str, paths)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [Path(line) for line in said.splitlines()]


@pytest.mark.parametrize("name", ["a", "a.json", "a.b-c.parquet", "step-000002"])
def test_the_name_tells_whether_the_writer_has_ended(tmp_path: Path, name: str):
    [left] = left_by_a_killed_writer(tmp_path / name)
    assert writer_is_gone(left.name)
    assert not writer_is_gone(partial_name(tmp_path / name).name)
    assert not writer_is_gone(name)


def test_what_ended_writers_left_is_removed_at_any_depth_but_for_named_folders(tmp_path: Path):
    inside = [tmp_path / "x.json", tmp_path / "deep" / "stages" / "folder.npy"]
    left = left_by_a_killed_writer(*inside, tmp_path / "stages" / "y.json")
    own = partial_name(tmp_path / "deep" / "x.json")
    own.write_text("half")
    (tmp_path / "whole.json").write_text("whole")
    remove_abandoned(tmp_path, but=("stages",))
    assert [path.exists() for path in left] == [False, False, True]
    assert own.exists()
    assert (tmp_path / "whole.json").exists()
