"""Rows that are added: the state after A then B equals one run over A and B."""

from __future__ import annotations

import json
import random

import pytest

from curation.matching.earlier_search import PictureSearch
from curation.pipeline import curate, run_stages
from curation.stages.image_files import HashFiles
from curation.stages.ingest import ReadShard
from medsift.execution import LocalExecutor
from medsift.manifest import read
from medsift.progress import Event, StageStarted
from tests.curation.increments.pools import contents, copy_rows, recipe_of


@pytest.mark.parametrize(("seed", "shard"), [(0, 100_000), (1, 100_000), (2, 7)])
def test_rows_that_are_added_in_parts_and_any_order_give_the_run_of_all(
    first, files, phantoms, tmp_path, seed, shard
):
    draw = random.Random(seed)
    order = draw.sample(files, len(files))
    cuts = sorted(draw.sample(range(10, len(files) - 1), (2, 1, 2)[seed]))
    rows, result = tmp_path / "rows", None
    for start, stop in zip([0, *cuts], [*cuts, len(files)], strict=True):
        copy_rows(order[start:stop], rows)
        by_shards = f"compute.rows_per_shard={shard}"
        recipe = recipe_of(rows, phantoms, first / "cache", by_shards)
        result = curate(recipe, tmp_path / "run", LocalExecutor())
    assert result is not None
    at_once = curate(
        recipe_of(rows, phantoms, first / "cache"), tmp_path / "at-once", LocalExecutor()
    )
    expected, found = contents(at_once.manifest), contents(result.manifest, result.run_id)
    for name in expected:
        assert found[name] == expected[name], name


def test_rows_that_change_or_go_are_decided_anew_with_those_that_they_repeat(
    first, files, phantoms, tmp_path
):
    rows = copy_rows(files, tmp_path / "rows")
    recipe = recipe_of(rows, phantoms, first / "cache", "compute.rows_per_shard=7")
    before = curate(recipe, tmp_path / "run", LocalExecutor())
    sql = "SELECT row_id, witness FROM decisions WHERE witness IS NOT NULL ORDER BY row_id"
    [one, other, *_] = read(before.manifest, sql).to_pylist()
    edited, gone = (rows / row.split(":")[1] for row in (one["row_id"], other["witness"]))
    line = json.loads(edited.read_text())
    edited.write_text(json.dumps(line | {"answer": f"not {line['answer']}"}))
    gone.unlink()
    after = curate(recipe, tmp_path / "run", LocalExecutor())
    anew = curate(recipe, tmp_path / "anew", LocalExecutor())
    expected, found = contents(anew.manifest), contents(after.manifest, after.run_id)
    for name in expected:
        assert found[name] == expected[name], name
    assert found["decisions"] != contents(before.manifest, before.run_id)["decisions"]


def test_a_new_source_is_an_increment_too(first, files, phantoms, tmp_path):
    halves = [copy_rows(files[part::2], tmp_path / f"half{part}") for part in range(2)]
    one = recipe_of(halves[0], phantoms, first / "cache")
    other = one.sources[0].model_copy(update={"name": "q", "path": str(halves[1])})
    both = one.model_copy(update={"sources": [one.sources[0], other]})
    curate(one, tmp_path / "run", LocalExecutor())
    added = curate(both, tmp_path / "run", LocalExecutor())
    at_once = curate(both, tmp_path / "at-once", LocalExecutor())
    assert contents(added.manifest, added.run_id) == contents(at_once.manifest)


def test_only_new_files_are_read_hashed_and_compared(first, files, phantoms, tmp_path, monkeypatch):
    rows = copy_rows(files[:30], tmp_path / "rows")
    recipe = recipe_of(rows, phantoms, first / "cache")
    curate(recipe, tmp_path / "run", LocalExecutor())
    hashed: list[str] = []
    searched: list[int] = []
    read: list[str] = []
    hash_files, among, read_shard = HashFiles.hash_all, PictureSearch.among, ReadShard.__call__

    def reading(self, item):
        read.append(item[1].file)
        return read_shard(self, item)

    def hashing(self, seen):
        hashed.extend(ref for ref, _ in seen)
        return hash_files(self, seen)

    def counted(self, ids):
        moved, new = among(self, ids)
        searched.append(int(new.sum()))
        return moved, new

    monkeypatch.setattr(ReadShard, "__call__", reading)
    monkeypatch.setattr(HashFiles, "hash_all", hashing)
    monkeypatch.setattr(PictureSearch, "among", counted)
    before = {path.name for path in phantoms.images.rglob("*")}
    new = files[30:34]
    copy_rows(new, rows)
    events: list[Event] = []
    done = run_stages(recipe, tmp_path / "run", LocalExecutor(), events.append)
    assert read == [file.name for file in new]
    assert len(hashed) <= 4 < len(before)
    assert searched[0] <= 4
    started = (event.stage for event in events if isinstance(event, StageStarted))
    assert next(started) == "ingest"
    assert done.stages[0].balance.rows_in == 34
