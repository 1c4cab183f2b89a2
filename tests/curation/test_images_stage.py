"""The images stage: what a worker cannot see is no fact, and every task carries its own part."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.image_pass import ImagePass
from curation.joins import joining
from curation.phantoms import PhantomSet
from curation.pipeline import curate, run_stages
from curation.recipe import Recipe
from curation.stages import image_files, work_files
from curation.stages.image_files import FILES, HashFiles
from curation.stages.image_verdicts import FACTS, ResolveSamples, verdicts, write_lookups
from curation.stages.work_files import WorkFolder
from medsift import records
from medsift.execution import LocalExecutor
from medsift.images import ImagesConfig, is_blank
from medsift.images.references import TooManyBytes, digest_bytes, read_bytes, stat
from medsift.manifest import read
from medsift.storage.parts import parts
from tests.expect import raises_code
from tests.fakes import Killed


@pytest.fixture
def moved(phantoms: PhantomSet, phantom_recipe: Any, tmp_path: Path) -> tuple[Path, Recipe]:
    """A copy of the phantom set that a test may change, and a recipe over it."""
    folder = tmp_path / "data"
    shutil.copytree(phantoms.root, folder)
    recipe = phantom_recipe(
        f"sources.0.path={folder}/samples.jsonl",
        f"sources.0.image_root={folder}/images",
        cache=tmp_path / "cache",
    )
    return folder, recipe


def pictures(folder: Path) -> list[Path]:
    """The picture files of a phantom set."""
    return sorted(path for path in (folder / "images").rglob("*") if path.is_file())


def failures(manifest: Path) -> dict[str, int]:
    sql = "SELECT reason, count(*) AS n FROM decisions WHERE action = 'failed' GROUP BY 1"
    return {line["reason"]: line["n"] for line in read(manifest, sql).to_pylist()}


def test_what_a_worker_alone_does_not_see_stops_the_run_and_is_not_stored(
    moved: tuple[Path, Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, recipe = moved
    unseen = set(pictures(folder)[3:6])

    def blind(ref: str, limit: int | None = None) -> tuple[str, int]:
        if Path(ref) in unseen:
            raise FileNotFoundError(ref)
        return digest_bytes(ref, limit)

    with monkeypatch.context() as patch:
        patch.setattr(image_files, "digest_bytes", blind)
        with raises_code("nodes_see_other_files") as caught:
            curate(recipe, tmp_path / "run", LocalExecutor())
    assert socket.gethostname() in str(caught.value)
    assert Path(caught.value.values["ref"]) in unseen
    healed = failures(curate(recipe, tmp_path / "run", LocalExecutor()).manifest)
    fresh = failures(curate(recipe, tmp_path / "fresh", LocalExecutor()).manifest)
    assert healed == fresh


def test_a_worker_that_reads_other_bytes_than_the_driver_saw_stops_the_run(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"abc")
    ref = str(tmp_path / "a.png")
    hashing = HashFiles(100, WorkFolder(tmp_path / "work"))
    assert hashing.hash_all([(ref, 3)])["error"].to_pylist() == [None]
    with raises_code("nodes_see_other_files", ref=ref):
        hashing.hash_all([(ref, 4)])


def test_a_missing_picture_is_asked_for_again_by_the_next_run(
    moved: tuple[Path, Recipe], tmp_path: Path
) -> None:
    folder, recipe = moved
    before = failures(curate(recipe, tmp_path / "before", LocalExecutor()).manifest)
    away = pictures(folder)[3]
    held = away.read_bytes()
    away.unlink()
    recipe = recipe.model_copy(update={"failures": type(recipe.failures)(tolerance=0.9)})
    gone = failures(curate(recipe, tmp_path / "run", LocalExecutor()).manifest)
    assert gone["image_missing"] > before.get("image_missing", 0)
    away.write_bytes(held)
    result = curate(recipe, tmp_path / "run", LocalExecutor())
    sql = f"SELECT reason, count(*) AS n FROM decisions WHERE run_id = '{result.run_id}' "
    lines = read(result.manifest, sql + "AND action = 'failed' GROUP BY 1").to_pylist()
    assert {line["reason"]: line["n"] for line in lines} == before


def test_an_unreadable_picture_that_the_driver_reads_is_an_error_of_placement(
    tmp_path: Path,
) -> None:
    (tmp_path / "a.png").write_bytes(b"abc")
    line = {"ref": str(tmp_path / "a.png"), "error": "image_unreadable", "detail": "denied"}
    with raises_code("nodes_see_other_files", ref=line["ref"]):
        image_files.check_unreadable(pa.Table.from_pylist([line], schema=FILES), 100)
    (tmp_path / "a.png").unlink()
    image_files.check_unreadable(pa.Table.from_pylist([line], schema=FILES), 100)


def test_large_and_special_files_fail_alone_without_being_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large, pipe, odd = tmp_path / "large.png", tmp_path / "pipe.png", tmp_path / "socket.png"
    with large.open("wb") as file:
        file.truncate(3 << 30)
    os.mkfifo(pipe)
    with socket.socket(socket.AF_UNIX) as server:
        monkeypatch.chdir(tmp_path)  # a socket's whole path must be short
        server.bind(odd.name)
        refs = [str(large), str(pipe), str(odd), "/dev/zero", str(tmp_path), str(tmp_path / "no")]
        seen = [(ref, size) for ref, size, _ in stat(refs)]
        assert [size for _, size in seen] == [3 << 30, -1, -1, -1, -1, -1]
        hashed = HashFiles(1 << 20, WorkFolder(tmp_path / "work")).hash_all(seen)
    assert hashed["error"].to_pylist() == [
        "image_too_large",
        "image_unreadable",
        "image_unreadable",
        "image_unreadable",
        "image_missing",
        "image_missing",
    ]


def test_a_file_without_a_size_is_read_to_the_limit_and_no_further(tmp_path: Path) -> None:
    assert digest_bytes("/proc/self/status", 1 << 20)[1] > 100
    with pytest.raises(TooManyBytes):
        digest_bytes("/proc/self/status", 10)
    with pytest.raises(TooManyBytes):
        read_bytes("/proc/self/status", 10)
    (tmp_path / "a").write_bytes(b"1234")
    assert read_bytes(str(tmp_path / "a"), 4) == b"1234"
    with pytest.raises(TooManyBytes):
        read_bytes(str(tmp_path / "a"), 3)


def facts(lines: list[dict[str, Any]]) -> pa.Table:
    kinds = {"notes": pa.list_(pa.string()), "blank_share": pa.float64()}
    schema = pa.schema([(name, kinds.get(name, pa.string())) for name in FACTS])
    return pa.Table.from_pylist(lines, schema=schema)


@pytest.mark.parametrize("drop", [True, False])
def test_verdicts_follow_the_file_then_the_picture_then_the_rule(drop: bool) -> None:
    config = ImagesConfig(drop_blank=drop)
    files = pa.Table.from_pylist(
        [
            {"ref": "a", "content_id": "1"},
            {"ref": "b", "error": "image_missing", "detail": "no file"},
            {"ref": "c", "content_id": "2"},
            {"ref": "d", "content_id": "3"},
            {"ref": "e", "content_id": "1"},
        ],
        schema=FILES,
    )
    known = [
        {"content_id": "3", "image_id": "z", "blank_share": 0.999, "notes": []},
        {"content_id": "1", "image_id": "x", "blank_share": 0.4, "notes": ["frame 2 of 3"]},
        {"content_id": "2", "error": "image_truncated", "detail": "cut"},
    ]
    found = verdicts(files, facts(known), config).to_pylist()
    assert [line["reason"] for line in found] == [
        None,
        "image_missing",
        "image_truncated",
        "image_blank" if drop else None,
        None,
    ]
    assert is_blank(known[0], config) == drop
    assert [line["image_id"] for line in found] == ["x", None, None, None if drop else "z", "x"]
    assert [line["detail"] for line in found[:3]] == [None, "no file", "cut"]
    assert found[3]["value"] == (0.999 if drop else None)
    assert found[4]["notes"] == ["frame 2 of 3"]


def test_a_picture_that_the_recipe_drops_for_privacy_drops_its_rows_and_fails_none() -> None:
    files = pa.Table.from_pylist([{"ref": "a", "content_id": "1"}], schema=FILES)
    line = {"content_id": "1", "error": "privacy:name", "detail": "the picture shows name"}
    known = facts([line])
    [found] = verdicts(files, known, ImagesConfig()).to_pylist()
    assert (found["action"], found["reason"]) == (records.DROPPED, "privacy:name")
    assert found["detail"] == "the picture shows name"


def test_a_lookup_holds_the_references_of_its_part_alone(tmp_path: Path) -> None:
    names = [f"{n:05d}.png" for n in range(1_000)]
    files = pa.Table.from_pylist([{"ref": n, "content_id": n} for n in names], schema=FILES)
    known = facts([{"content_id": n, "image_id": n, "blank_share": 0.1} for n in names])
    sample = {name: None for name in records.SAMPLES.names}
    sample |= {"row_id": "r", "source": "s", "messages": [{"role": "user", "content": "q"}]}
    parts = []
    for number, refs in enumerate((["00007.png", "00900.png"], ["00007.png"])):
        part = tmp_path / f"part-{number:06d}.parquet"
        schema = pa.schema([field.with_nullable(True) for field in records.SAMPLES])
        pq.write_table(pa.Table.from_pylist([sample | {"refs": refs}], schema=schema), part)
        parts.append(part)
    with joining(tmp_path / "join") as db:
        db.register("files", files)
        db.register("facts", known)
        scratch = tmp_path / "join" / "joined"
        lookups = write_lookups(db, parts, ImagesConfig(), scratch, tmp_path / "verdicts")
    assert [sorted(pq.read_table(path)["ref"].to_pylist()) for path in lookups] == [
        ["00007.png", "00900.png"],
        ["00007.png"],
    ]
    [tables] = ResolveSamples()((parts[0], lookups[0]))
    assert tables["updates"]["images"].to_pylist() == [["00007.png", "00900.png"]]


def test_a_worker_killed_within_a_large_part_repeats_one_batch_alone(
    phantom_run: Any, phantom_recipe: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work_files, "PARTS_TO_SHARE", 1)
    recipe = phantom_recipe(cache=tmp_path / "cache")
    batch, looked = recipe.compute.images_per_batch, list[str]()
    look = ImagePass.__call__

    def killed_in_the_third(self: ImagePass, refs: pa.Table) -> pa.Table:
        looked.extend(refs["ref"].to_pylist())
        if len(looked) > 2 * batch:
            raise Killed
        return look(self, refs)

    with monkeypatch.context() as patch:
        patch.setattr(ImagePass, "__call__", killed_in_the_third)
        with pytest.raises(Killed):
            run_stages(recipe, tmp_path / "run", LocalExecutor(), until="images")
    before, looked = looked, []

    def counted(self: ImagePass, refs: pa.Table) -> pa.Table:
        looked.extend(refs["ref"].to_pylist())
        return look(self, refs)

    monkeypatch.setattr(ImagePass, "__call__", counted)
    done = run_stages(recipe, tmp_path / "run", LocalExecutor(), until="images").upstream.images
    # The last part has what is left over from whole batches.
    assert len(parts(done.folder / "pass" / "inspected")) <= 2
    assert set(before[: 2 * batch]).isdisjoint(looked)
    assert len(set(before) & set(looked)) == len(before) - 2 * batch
    whole = phantom_run.upstream.images
    assert done.images.read().equals(whole.images.read())
    ours, theirs = done.vectors.read_vectors(), whole.vectors.read_vectors()
    assert list(ours.ids) == list(theirs.ids)
    assert np.array_equal(ours.matrix, theirs.matrix)
