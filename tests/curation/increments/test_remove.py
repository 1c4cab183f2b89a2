"""A withdrawal: the run equals one that never had the rows, and nothing of them is left."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from curation.add_selection import add_selection
from curation.pipeline import curate
from curation.run_dir import open_run
from curation.withdraw.choose import rows_by_id, rows_by_source, rows_by_sql, withdraw
from curation.withdraw.finish import finish
from medsift.execution import LocalExecutor
from medsift.manifest import read
from tests.curation.increments.pools import ADDED, contents, copy_rows, recipe_of
from tests.expect import raises_code
from tests.fakes import Killed


@pytest.fixture
def run_dir(first, tmp_path) -> Path:
    """A copy of that run with a copy of its cache: a withdrawal takes rows out of both."""
    shutil.copytree(first, tmp_path / "own")
    manifest = tmp_path / "own" / "run" / "manifest.duckdb"
    with duckdb.connect(str(manifest)) as con:
        con.execute("UPDATE runs SET recipe = replace(recipe, ?, ?)",
                    [str(first / "cache"), str(tmp_path / "own" / "cache")])  # fmt: skip
    return manifest.parent


def cached_ids(cache: Path) -> set[str]:
    return {
        content
        for part in cache.rglob("*.parquet")
        for content in pq.read_table(part, columns=["content_id"])["content_id"].to_pylist()
    }


def without(gone: set[str], files, phantoms, folder: Path, cache: Path) -> Path:
    """Curate the rows that are left, and make the added selection; return the manifest."""
    rows = copy_rows([file for file in files if f"p:{file.name}:0" not in gone], folder / "rows")
    result = curate(recipe_of(rows, phantoms, cache), folder / "run", LocalExecutor())
    add_selection(folder / "run", ADDED)
    return result.manifest


def bytes_of(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


@pytest.mark.parametrize("seed", range(2))
def test_the_run_equals_one_that_never_had_the_rows(
    run_dir, first, files, phantoms, tmp_path, seed
):
    draw = random.Random(seed)
    sql = "SELECT DISTINCT witness FROM decisions WHERE witness IS NOT NULL"
    survivors = read(run_dir / "manifest.duckdb", sql)["witness"].to_pylist()
    names = [f"p:{file.name}:0" for file in files]
    # Half of the survivors of duplicates and some other rows, so that survivors are elected again.
    gone = {*draw.sample(survivors, len(survivors) // 2), *draw.sample(names, 6)}
    run = open_run(run_dir)
    withdraw(run, "rows", rows_by_id(run, sorted(gone)))
    done = finish(run_dir, LocalExecutor())
    assert done is not None
    assert done.rows == len(gone)
    manifest = without(gone, files, phantoms, tmp_path / "never", first / "cache")
    expected, found = contents(manifest), contents(run_dir / "manifest.duckdb")
    for name in expected:
        assert found[name] == expected[name], name
    actions = "SELECT count(*) AS n FROM runs"
    assert read(run_dir / "manifest.duckdb", actions)["n"].to_pylist() == [1]


def test_nothing_of_withdrawn_rows_is_left_and_what_others_use_stays(run_dir):
    manifest, cache = run_dir / "manifest.duckdb", run_dir.parent / "cache"
    shown = read(
        manifest,
        "SELECT image.image_id AS image, image.ref AS ref, list(row_id) AS rows, "
        "list(answer) AS answers FROM (SELECT row_id, answer, unnest(images) AS image FROM samples)"
        " GROUP BY ALL ORDER BY 1",
    ).to_pylist()
    # All rows of one picture, and one of the rows of another: that picture stays.
    alone, shared = shown[0], next(line for line in shown[1:] if len(line["rows"]) > 2)
    run = open_run(run_dir)
    inspected = {
        line["image_id"]: line["content_id"]
        for part in run.upstream.images.folder.glob("pass/inspected/*.parquet")
        for line in pq.read_table(part, columns=["content_id", "image_id"]).to_pylist()
    }
    assert {inspected[alone["image"]], inspected[shared["image"]]} <= cached_ids(cache)
    withdraw(run, "rows", [*alone["rows"], shared["rows"][0]])
    done = finish(run_dir, LocalExecutor())
    assert done is not None
    assert min(done.images, done.cached) >= 1
    left = cached_ids(cache)
    assert inspected[alone["image"]] not in left
    assert inspected[shared["image"]] in left
    known = bytes_of(run_dir) + bytes_of(cache)
    for row in alone["rows"]:
        assert row.encode() not in known, "the report and the manifest do not name the row"
    assert alone["image"].encode() not in known
    stages = {path.name for path in (run_dir / "stages").iterdir()}
    assert stages == {outputs.folder.name for outputs in open_run(run_dir).upstream.values()}


def test_the_record_has_counts_and_digests_and_names_what_had_the_rows(run_dir):
    manifest = run_dir / "manifest.duckdb"
    run = open_run(run_dir)
    chosen = read(manifest, "SELECT row_id FROM selections WHERE selection = 'added' LIMIT 3")
    gone = chosen["row_id"].to_pylist()
    withdraw(run, "rows", gone)
    done = finish(run_dir, LocalExecutor())
    assert done is not None
    [line] = read(manifest, "SELECT * FROM withdrawals").to_pylist()
    assert (line["kind"], line["rows"], line["from_run"]) == ("rows", 3, run.run_id)
    assert len(line["digests"]) == 3
    assert not set(gone) & set(line["digests"])
    uses = {(use["kind"], use["name"]): use["rows"] for use in done.uses}
    assert uses["selection", "added"] == 3
    assert finish(run_dir, LocalExecutor()) is None, "nothing is left to do"


def test_rows_stay_away_when_files_are_edited(first, files, phantoms, tmp_path):
    """The place of a withdrawn row may go to another row, and its content to another place."""
    rows = copy_rows(files, tmp_path / "edited")
    cache = shutil.copytree(first / "cache", tmp_path / "cache")
    recipe = recipe_of(rows, phantoms, cache)
    result = curate(recipe, tmp_path / "other", LocalExecutor())
    texts = read(result.manifest, "SELECT row_id, sample_id FROM samples ORDER BY row_id")
    by_row = dict(zip(texts["row_id"].to_pylist(), texts["sample_id"].to_pylist(), strict=True))
    unique = [row for row, sample in by_row.items() if list(by_row.values()).count(sample) == 1]
    gone, other = unique[3], unique[7]
    run = open_run(tmp_path / "other")
    withdraw(run, "rows", [gone])
    finish(tmp_path / "other", LocalExecutor())
    # The withdrawn line is deleted, and another row takes its place and file name.
    place, moved = (rows / row.split(":")[1] for row in (gone, other))
    line = place.read_text()
    place.write_text(moved.read_text())
    moved.unlink()
    again = curate(recipe, tmp_path / "other", LocalExecutor())
    kept = read(again.manifest, "SELECT sample_id, row_id FROM samples WHERE run_id = $1",
                [again.run_id]).to_pylist()  # fmt: skip
    assert {"sample_id": by_row[other], "row_id": gone} in kept
    assert by_row[gone] not in {sample["sample_id"] for sample in kept}
    # The same content comes back in a new file: it stays away.
    (rows / "zzzz.jsonl").write_text(line)
    again = curate(recipe, tmp_path / "other", LocalExecutor())
    kept = read(again.manifest, "SELECT sample_id FROM samples WHERE run_id = $1",
                [again.run_id]).to_pylist()  # fmt: skip
    assert by_row[gone] not in {sample["sample_id"] for sample in kept}


@pytest.mark.parametrize("step", ["purge_caches", "keep_only"])
def test_a_killed_withdrawal_is_finished_by_the_next(
    run_dir, first, files, phantoms, tmp_path, monkeypatch, step
):
    run = open_run(run_dir)
    gone = rows_by_sql(run, f"row_id <= 'p:{files[4].name}:0'")
    assert len(gone) == 5
    withdraw(run, "sql", gone)

    def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(f"curation.withdraw.finish.{step}", die)
        with pytest.raises(Killed):
            finish(run_dir, LocalExecutor())
    done = finish(run_dir, LocalExecutor())
    assert done is not None
    assert done.rows == len(gone)
    manifest = without(set(gone), files, phantoms, tmp_path / "never", first / "cache")
    assert contents(run_dir / "manifest.duckdb") == contents(manifest)


def test_rows_are_named_by_id_by_sql_or_by_source(run_dir):
    run = open_run(run_dir)
    with raises_code("row_unknown"):
        rows_by_id(run, ["p:none.jsonl:0"])
    with raises_code("source_unknown"):
        rows_by_source(run, "q")
    assert rows_by_sql(run, "action = 'failed'") == sorted(
        read(run.manifest, "SELECT row_id FROM rows WHERE action = 'failed'")["row_id"].to_pylist()
    )
    with raises_code("nothing_left"):
        withdraw(run, "source", rows_by_source(run, "p"))
    assert not (run_dir / "withdrawn.parquet").exists()
