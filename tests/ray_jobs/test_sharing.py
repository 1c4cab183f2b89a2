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
    refuse_unshared,
    require_working_folder,
    sample_files,
    tokens_in,
)
from tests.expect import raises_code
from tests.stores import keys_in, proxy


def elsewhere(probe: Probe, here: Path, there: Path) -> Probe:
    """The probe as a node meets it that has another disk under the same path."""
    places = tuple(str(there / Path(place).relative_to(here)) for place in probe.places)
    files = tuple((str(there / Path(name).relative_to(here)), size) for name, size in probe.files)
    return Probe(probe.token, places, files)


def test_a_node_that_shares_the_disk_answers_and_nothing_is_left(tmp_path):
    folders = [tmp_path / "run", tmp_path / "cache"]
    (tmp_path / "a.png").write_bytes(b"abc")
    with tokens_in(map(str, folders), ["n"], [(str(tmp_path / "a.png"), 3)]) as probe:
        # In a process of its own, as a node is.
        code = f"from ray_jobs.sharing import *; print(check_from_node({probe!r}, 'n'))"
        done = subprocess.run(
            [sys.executable, "-c", code],
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
    with tokens_in(
        [str(here / "run"), str(here / "cache")], [], [(str(here / "a.png"), 3)]
    ) as probe:
        problems = check_from_node(elsewhere(probe, here, there), "n2")
    assert [str(there / "run") in problems[0], str(there / "cache") in problems[1]] == [True, True]
    assert str(there / "a.png") in problems[2]
    with raises_code("nodes_share_no_disk", nodes=["n2"]):
        refuse_problems([("n2", what) for what in problems])


def test_a_node_that_reads_the_token_but_writes_to_its_own_disk_is_noticed(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    with tokens_in([str(here / "run")]) as probe:
        shutil.copytree(here, there)
        assert check_from_node(elsewhere(probe, here, there), "n2") == []
        [(node, what)] = missing_answers(probe, ["n2"])
    assert node == "n2"
    assert str(here / "run") in what


def test_another_token_and_another_size_are_noticed(tmp_path):
    (tmp_path / "a.png").write_bytes(b"abcd")
    with tokens_in([str(tmp_path / "run")], [], [(str(tmp_path / "a.png"), 3)]) as probe:
        (tmp_path / "run" / probe.mark).write_text("older")
        problems = check_from_node(probe, "n2")
    assert len(problems) == 2
    assert "4 bytes instead of 3" in problems[1]


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path):
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / "run"
    with raises_code("path_unwritable", path=str(folder)), tokens_in([str(folder)]):
        pass


def test_a_store_is_proved_by_a_token_as_a_folder_is(bucket_url, object_store, monkeypatch):
    place = f"{bucket_url}/run"
    with tokens_in([place], ["n"]) as probe:
        with monkeypatch.context() as patch, proxy(object_store, lambda *_: 403) as address:
            patch.setenv("AWS_ENDPOINT_URL", f"http://{address}")
            [problem] = check_from_node(probe, "n")
            assert place in problem
        assert missing_answers(probe, ["n"]) == [("n", f"writes to a {place} of its own")]
        assert check_from_node(probe, "n") == []
        assert missing_answers(probe, ["n"]) == []
    assert keys_in(object_store, bucket_url.removeprefix("s3://")) == []


def test_a_folder_on_several_nodes_is_refused_unless_it_is_declared_shared(tmp_path):
    with raises_code("run_directory_not_shared", path=str(tmp_path), nodes=2):
        refuse_unshared([tmp_path], 2, shared=False)
    refuse_unshared([tmp_path], 2, shared=True)
    refuse_unshared([], 2, shared=False)


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


def test_a_process_that_lost_its_folder_says_so_before_any_work(tmp_path, monkeypatch):
    (tmp_path / "unpacked").mkdir()
    monkeypatch.chdir(tmp_path / "unpacked")
    require_working_folder()
    (tmp_path / "unpacked").rmdir()
    with raises_code("working_folder_removed"):
        require_working_folder()
