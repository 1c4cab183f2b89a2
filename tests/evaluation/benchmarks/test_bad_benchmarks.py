"""What is wrong with a copy is one clear line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from evaluation.benchmarks.dataset_files import MOST_UNPACKED
from tests.expect import raises_code

ROW = {
    "qid": 1,
    "img_name": "x/source.jpg",
    "question": "Is it?",
    "answer": "Yes",
    "answer_type": "CLOSED",
    "q_lang": "en",
    "modality": "CT",
    "location": "Brain",
}


@pytest.fixture
def slake(write, load, picture_bytes):
    """Load a SLAKE copy of these rows."""

    def loaded(rows, picture=None):
        write("imgs/x/source.jpg", picture_bytes(kind="JPEG") if picture is None else picture)
        return load(kind="slake", path=str(write("test.json", rows)))

    return loaded


def refused(rows, slake, code, picture=None, **values):
    with raises_code(code, **values) as error:
        slake(rows, picture)
    assert "\n" not in str(error.value)
    return error.value.values


def test_other_columns_are_named(slake):
    other = {"id": 1, "query": "Is it?", "label": "Yes", "image": "a.jpg"}
    found = ["id", "image", "label", "query"]
    values = refused([other], slake, "benchmark_unreadable", file="test.json", found=found)
    assert values["missing"][:3] == ["qid", "img_name", "question"]


def test_a_column_that_one_record_lacks_is_named(slake):
    lacking = {key: value for key, value in ROW.items() if key != "answer"}
    refused([ROW, lacking], slake, "benchmark_unreadable", missing=["answer"])


def test_repeated_ids_are_named(slake):
    refused([ROW, ROW | {"question": "Or?"}], slake, "benchmark_unreadable", repeated=["1"])


def test_an_unknown_answer_type_is_named(slake):
    refused([ROW | {"answer_type": "MAYBE"}], slake, "benchmark_unreadable", answer_types=["maybe"])


def test_a_file_without_items_is_refused(slake):
    refused([], slake, "benchmark_unreadable", items=0)
    refused([ROW | {"q_lang": "zh"}], slake, "benchmark_unreadable", items=0)


def test_items_without_question_or_gold_are_counted(slake):
    found = slake([ROW, ROW | {"qid": 2, "question": " "}, ROW | {"qid": 3, "answer": None}])
    assert (found.rows, found.unusable) == (1, {"no question or gold": 2})


@pytest.mark.parametrize("data", [b"", b"version https://git-lfs.github.com/spec/v1\n"])
def test_a_file_that_is_no_picture_counts_as_missing(slake, data):
    values = refused([ROW], slake, "benchmark_incomplete", data, missing=1, items=1)
    assert values["first"].startswith("item 1: ")


@pytest.mark.parametrize("name", ["../../secret.jpg", "/etc/passwd", "x/../../../out.jpg"])
def test_a_picture_outside_the_folder_is_not_followed(slake, write, picture_bytes, name):
    (write("test.json", []).parent / "secret.jpg").write_bytes(picture_bytes())
    refused([ROW | {"img_name": name}], slake, "benchmark_incomplete", missing=1, items=1)


DEEP = b"[" * 100_000 + b"]" * 100_000


@pytest.mark.parametrize("content", [b"{", b'{"a": 1}', b"[1]", b"\xff\xfe", DEEP, b"9" * 5_000])
def test_a_broken_file_is_named(write, load, content):
    folder = write("test.jsonl", [])
    (folder / "test.json").write_bytes(content)
    with raises_code("benchmark_unreadable", file="test.json") as error:
        load(kind="slake", path=str(folder))
    assert "\n" not in str(error.value)


def test_a_broken_archive_and_a_broken_table_are_named(write, load):
    write("imgs.zip", b"not an archive")
    folder = write("test.json", [ROW])
    with raises_code("benchmark_missing", path=str(folder / "imgs.zip")):
        load(kind="slake", path=str(folder))
    table = write("data/test-0.parquet", b"PAR1 no table PAR1")
    (table / "imgs.zip").unlink()
    with raises_code("benchmark_unreadable", file="data/test-0.parquet"):
        load(kind="path_vqa", path=str(table))


def test_an_archive_that_unpacks_to_more_than_memory_should_hold_is_refused(write, load):
    folder = write("notes.txt", b"")
    with (
        zipfile.ZipFile(folder / "all.zip", "w", zipfile.ZIP_DEFLATED) as file,
        file.open("test.json", "w", force_zip64=True) as member,
    ):
        for _ in range((MOST_UNPACKED >> 24) + 1):
            member.write(b" " * (1 << 24))
    assert (folder / "all.zip").stat().st_size < 4 << 20
    with raises_code("benchmark_unreadable", file="test.json") as caught:
        load(kind="slake", path=str(folder))
    assert caught.value.values["bytes"] > MOST_UNPACKED


def test_an_archive_that_lies_about_a_size_is_not_unpacked_further(write, load):
    folder = write("notes.txt", b"")
    packed = folder / "all.zip"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("test.json", json.dumps([ROW]) + " " * (200 << 20))
    size = (200 << 20) + len(json.dumps([ROW]))
    data = packed.read_bytes()
    assert data.count(size.to_bytes(4, "little")) == 2  # in front of the file, and in the list
    packed.write_bytes(data.replace(size.to_bytes(4, "little"), (1_000).to_bytes(4, "little")))
    tracemalloc.start()
    try:
        with raises_code("benchmark_missing", path="test.json"):
            load(kind="slake", path=str(folder))
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
    finally:
        tracemalloc.stop()


def test_a_damaged_member_of_an_archive_is_one_line(write, load):
    folder = write("notes.txt", b"")
    with zipfile.ZipFile(folder / "all.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("test.json", json.dumps([ROW] * 50))
    data = bytearray((folder / "all.zip").read_bytes())
    data[60:90] = b"\xff" * 30
    (folder / "all.zip").write_bytes(data)
    with raises_code("benchmark_missing", path="test.json"):
        load(kind="slake", path=str(folder))


def test_a_folder_of_something_else_says_what_was_sought(tmp_path, load):
    with raises_code("benchmark_missing", patterns=["test.json"]):
        load(kind="slake", path=str(tmp_path))
    with raises_code("benchmark_missing", path="/no/such/folder"):
        load(kind="slake", path="/no/such/folder")


HUB = """
from pathlib import Path
from medsift.errors import InputError
from evaluation.benchmarks.slake import Slake
try:
    found = Slake(path="Some/SLAKE").load(Path("cache"))
    print("rows", found.rows, found.items["images"].to_pylist())
except InputError as error:
    print("refused", error.code, error.values["path"], error)
"""


def from_hub(home: Path) -> str:
    """What loading a hub name says in a process without a network."""
    # The hub's library reads its settings once, at import.
    environment = {**os.environ, "HF_HOME": str(home), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", HUB],
        cwd=home,
        env=environment | {"PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_a_hub_name_that_cannot_be_had_is_one_line(tmp_path):
    said = from_hub(tmp_path)
    assert said.startswith("refused benchmark_missing Some/SLAKE ")
    assert said.count("\n") == 1
    assert "set path to a folder" in said


def test_a_hub_name_is_read_from_the_hubs_own_cache(tmp_path, write, picture_bytes):
    folder = write("test.json", [ROW])
    with zipfile.ZipFile(folder / "imgs.zip", "w") as file:
        file.writestr("imgs/x/source.jpg", picture_bytes(kind="JPEG"))
    cached = tmp_path / "hub" / "datasets--Some--SLAKE"
    snapshot = cached / "snapshots" / "0123456789"
    snapshot.mkdir(parents=True)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("0123456789")
    for name in ("test.json", "imgs.zip"):
        (snapshot / name).symlink_to(folder / name)
    assert from_hub(tmp_path).startswith("rows 1 ")
