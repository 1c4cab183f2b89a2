"""Nodes that do not share a disk are named before any work, with what each does not see."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from curation.recipe import parse_recipe
from ray_jobs.doctor import shared_folder
from ray_jobs.sharing import (
    Probe,
    check_from_node,
    data_files,
    missing_answers,
    refuse_problems,
    sample_files,
    tokens_in,
)
from tests.expect import raises_code


def elsewhere(probe: Probe, here: Path, there: Path) -> Probe:
    """The probe as a node meets it that has another disk under the same path."""
    folders = tuple(there / folder.relative_to(here) for folder in probe.folders)
    files = tuple((str(there / Path(name).relative_to(here)), size) for name, size in probe.files)
    return Probe(probe.token, folders, files)


def test_a_node_that_shares_the_disk_answers_and_nothing_is_left(tmp_path):
    folders = [tmp_path / "run", tmp_path / "cache"]
    (tmp_path / "a.png").write_bytes(b"abc")
    with tokens_in(folders, [(str(tmp_path / "a.png"), 3)]) as probe:
        # In a process of its own, as a node is.
        code = "from pathlib import *; from ray_jobs.sharing import *; "
        code += f"print(check_from_node({probe!r}, 'n'))"
        done = subprocess.run(
            [sys.executable, "-c", code.replace("PosixPath", "Path")],
            capture_output=True,
            text=True,
        )
        assert done.stdout.strip() == "[]", done.stderr
        assert missing_answers(probe, ["n"]) == []
        refuse_problems([])
    assert all(list(folder.iterdir()) == [] for folder in folders)


def test_a_node_with_a_disk_of_its_own_is_named_with_every_place(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    (here / "a.png").write_bytes(b"abc")
    (there / "cache").mkdir(parents=True)
    with tokens_in([here / "run", here / "cache"], [(str(here / "a.png"), 3)]) as probe:
        problems = check_from_node(elsewhere(probe, here, there), "n2")
    assert [str(there / "run") in problems[0], str(there / "cache") in problems[1]] == [True, True]
    assert str(there / "a.png") in problems[2]
    with raises_code("nodes_share_no_disk", nodes=["n2"]):
        refuse_problems([("n2", what) for what in problems])


def test_a_node_that_reads_the_token_but_writes_to_its_own_disk_is_noticed(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    with tokens_in([here / "run"]) as probe:
        shutil.copytree(here, there)
        assert check_from_node(elsewhere(probe, here, there), "n2") == []
        [(node, what)] = missing_answers(probe, ["n2"])
    assert node == "n2"
    assert str(here / "run") in what


def test_another_token_and_another_size_are_noticed(tmp_path):
    (tmp_path / "a.png").write_bytes(b"abcd")
    with tokens_in([tmp_path / "run"], [(str(tmp_path / "a.png"), 3)]) as probe:
        probe.mark(tmp_path / "run").write_text("older")
        problems = check_from_node(probe, "n2")
    assert len(problems) == 2
    assert "4 bytes instead of 3" in problems[1]


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path):
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / "run"
    with raises_code("path_unwritable", path=str(folder)), tokens_in([folder]):
        pass


def test_witnesses_are_a_few_files_of_a_place(tmp_path):
    for name in ("b/2.png", "b/1.png", "a/9.png", "c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x" * len(name))
    os.mkfifo(tmp_path / "a" / "0.png")
    found = sample_files(str(tmp_path))
    assert [(Path(name).name, size) for name, size in found] == [
        ("c.png", 5),
        ("9.png", 7),
        ("1.png", 7),
    ]
    assert [Path(name).name for name, _ in sample_files(f"{tmp_path}/b/*.png")] == [
        "1.png",
        "2.png",
    ]
    assert sample_files(str(tmp_path / "c.png")) == [(str(tmp_path / "c.png"), 5)]
    assert sample_files("s3://bucket/x") == sample_files("owner/set") == []


def test_the_data_of_a_recipe_are_its_sources_and_image_roots(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_bytes(b"abc")
    (tmp_path / "rows.jsonl").write_text("{}\n")
    recipe = parse_recipe(
        f"name: x\nsources: [{{name: a, reader: table, path: '{tmp_path}/*.jsonl', "
        f"image_root: '{tmp_path}/images'}}]\nencoder: {{kind: embedded}}\n"
    )
    assert [Path(name).name for name, _ in data_files(recipe)] == ["rows.jsonl", "a.png"]


def test_the_doctor_says_whether_the_nodes_share_the_folder(tmp_path):
    assert shared_folder(tmp_path, True, "3").detail == f"3 nodes share {tmp_path}"
    assert shared_folder(tmp_path, True, "1").status == "OK"
    finding = shared_folder(tmp_path, False, "node b does not see …")
    assert (finding.status, bool(finding.fix)) == ("FAIL", True)
