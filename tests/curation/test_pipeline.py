"""The promises of a run: every row has a fate, order is nothing, killed equals uninterrupted."""

from __future__ import annotations

import fcntl
import random
import shutil

import pytest

from curation.phantoms import PhantomSet
from curation.pipeline import RunResult, curate
from curation.stages import STAGES
from medsift.errors import LedgerError, UsageError
from medsift.execution import LocalExecutor
from medsift.manifest import read
from medsift.progress import Event, StageFinished
from medsift.storage.run_lock import claimed
from tests.fakes import Killed, KilledExecutor

NAMES = [stage.name for stage in STAGES if stage.name != "filter"]


def selection(run: RunResult) -> bytes:
    """The bytes of the selection."""
    [part] = (run.stages[-1].folder / "selections").glob("*.parquet")
    return part.read_bytes()


def selected_ids(run: RunResult) -> list[str]:
    table = read(run.manifest, "SELECT sample_id FROM selected_samples ORDER BY 1")
    return table["sample_id"].to_pylist()


def dropped(run: RunResult) -> list[tuple[str, str]]:
    sql = (
        "SELECT sample_id, reason FROM why WHERE action = 'dropped' AND stage = 'dedup' "
        "ORDER BY ALL"
    )
    return [tuple(line.values()) for line in read(run.manifest, sql).to_pylist()]


def test_every_row_has_exactly_one_fate(phantom_run, phantoms: PhantomSet):
    sql = "SELECT action, count(*) AS rows FROM why GROUP BY 1"
    fates = {line["action"]: line["rows"] for line in read(phantom_run.manifest, sql).to_pylist()}
    assert sum(fates.values()) == phantoms.rows
    assert fates["kept"] == phantom_run.stages[-1].balance.kept
    unbalanced = "SELECT * FROM funnel WHERE rows_in <> kept + dropped + failed"
    assert read(phantom_run.manifest, unbalanced).num_rows == 0


def test_every_witness_was_kept(phantom_run):
    sql = (
        "SELECT count(*) AS strays FROM decisions WHERE witness IS NOT NULL "
        "AND witness NOT IN (SELECT row_id FROM why WHERE action = 'kept')"
    )
    assert read(phantom_run.manifest, sql)["strays"].to_pylist() == [0]


def test_weights_count_the_rows_a_selected_row_stands_for(phantom_run):
    sql = (
        "SELECT count(*) AS strays FROM selected_samples s WHERE weight <> "
        "1 + (SELECT count(*) FROM decisions d WHERE d.witness = s.row_id)"
    )
    assert read(phantom_run.manifest, sql)["strays"].to_pylist() == [0]


def test_held_out_rows_are_kept_but_never_selected(phantom_run):
    splits = "SELECT DISTINCT split FROM selected_samples"
    assert read(phantom_run.manifest, splits)["split"].to_pylist() == ["train"]
    held_out = (
        "SELECT count(*) AS rows FROM why JOIN samples USING (run_id, row_id) "
        "WHERE action = 'kept' AND split = 'test'"
    )
    assert read(phantom_run.manifest, held_out)["rows"].to_pylist()[0] > 0


def test_a_second_run_reuses_every_stage_and_changes_no_byte(phantom_run, phantom_recipe):
    before = selection(phantom_run)
    events: list[Event] = []
    again = curate(phantom_recipe(), phantom_run.run_dir, LocalExecutor(), events.append)
    finished = [event for event in events if isinstance(event, StageFinished)]
    assert [event.stage for event in finished if event.reused] == NAMES
    assert selection(again) == before
    assert again.run_id == phantom_run.run_id


def test_a_changed_rule_repeats_only_what_depends_on_it(phantom_run, phantom_recipe, tmp_path):
    events: list[Event] = []
    recipe = phantom_recipe("dedup.sample.question=0.99")
    shutil.copytree(phantom_run.run_dir, tmp_path / "run")
    curate(recipe, tmp_path / "run", LocalExecutor(), events.append)
    reused = [event.stage for event in events if isinstance(event, StageFinished) and event.reused]
    assert reused == ["ingest", "images", "embed"]


@pytest.mark.parametrize("items", [0, 1, 3, 6])
def test_killed_anywhere_and_started_again_equals_uninterrupted(
    items, phantom_run, phantom_recipe, tmp_path
):
    with pytest.raises(Killed):
        curate(phantom_recipe(), tmp_path, KilledExecutor(items))
    resumed = curate(phantom_recipe(), tmp_path, LocalExecutor())
    assert selection(resumed) == selection(phantom_run)


@pytest.mark.parametrize(
    "override",
    ["compute.images_per_batch=5", "compute.rows_per_batch=21", "sources.0.shard_bytes=2000"],
)
@pytest.mark.parametrize("items", [1, 4])
def test_a_killed_run_goes_on_with_other_batches_or_shards(
    override, items, phantom_run, phantom_recipe, tmp_path
):
    with pytest.raises(Killed):
        curate(phantom_recipe("sources.0.shard_bytes=9000"), tmp_path, KilledExecutor(items))
    resumed = curate(phantom_recipe(override), tmp_path, LocalExecutor())
    assert resumed.stages[0].balance.rows_in == phantom_run.stages[0].balance.rows_in
    assert selection(resumed) == selection(phantom_run)


def test_cached_facts_name_this_runs_files_not_another_runs(
    phantom_run, phantom_recipe, phantoms: PhantomSet, tmp_path
):
    moved = tmp_path / "moved"
    shutil.copytree(phantoms.root, moved)
    recipe = phantom_recipe(
        f"sources.0.path={moved}/samples.jsonl", f"sources.0.image_root={moved}/images"
    )
    again = curate(recipe, tmp_path / "run", LocalExecutor())
    strays = f"SELECT count(*) AS n FROM images WHERE NOT starts_with(ref, '{moved.resolve()}')"
    assert read(again.manifest, strays)["n"].to_pylist() == [0]
    details = f"SELECT count(*) AS n FROM decisions WHERE detail LIKE '%{phantoms.root}%'"
    assert read(again.manifest, details)["n"].to_pylist() == [0]
    assert selection(again) == selection(phantom_run)


def test_a_part_that_vanished_is_made_again(phantom_run, phantom_recipe, tmp_path):
    first = curate(phantom_recipe(), tmp_path, LocalExecutor())
    victim = sorted((first.stages[3].folder / "clusters").glob("*.parquet"))[0]
    victim.write_bytes(victim.read_bytes()[:-10])
    again = curate(phantom_recipe(), tmp_path, LocalExecutor())
    assert [stage.stage for stage in again.stages if not stage.reused] == ["dedup"]
    assert selection(again) == selection(phantom_run)


@pytest.mark.parametrize("how", ["empty", "cut", "no json", "flipped", "short"])
def test_a_damaged_stage_runs_again_and_ends_the_same(
    how, phantom_run, phantom_recipe, tmp_path, caplog
):
    first = curate(phantom_recipe(), tmp_path, LocalExecutor())
    folder = first.stages[3].folder
    part = next(iter(sorted((folder / "clusters").glob("*.parquet"))))
    data, marker = bytearray(part.read_bytes()), folder / "done.json"
    match how:
        case "empty":
            marker.write_bytes(b"")
        case "cut":
            marker.write_bytes(marker.read_bytes()[:40])
        case "no json":
            marker.write_text("[1, 2]")
        case "flipped":
            data[len(data) // 3] ^= 4
            part.write_bytes(data)
        case "short":
            part.write_bytes(data[:-1])
    again = curate(phantom_recipe(), tmp_path, LocalExecutor())
    assert [stage.stage for stage in again.stages if not stage.reused] == ["dedup"]
    assert "stage dedup runs again" in caplog.text
    assert selection(again) == selection(phantom_run)


def test_a_warm_cache_and_a_cold_one_end_in_the_same_bytes(phantom_recipe, tmp_path):
    recipe = phantom_recipe(cache=tmp_path / "cache")
    cold, warm = (
        {
            str(path.relative_to(run / "stages")): path.read_bytes()
            for path in sorted((run / "stages").rglob("*.parquet"))
        }
        for run in (tmp_path / "cold", tmp_path / "warm")
        if curate(recipe, run, LocalExecutor())
    )
    assert len(cold) > 20
    assert [name for name in cold if cold[name] != warm[name]] == []


def test_order_of_rows_does_not_change_what_is_kept(
    phantom_run, phantom_recipe, phantoms: PhantomSet, tmp_path
):
    lines = phantoms.samples.read_text(encoding="utf-8").splitlines(keepends=True)
    random.Random(5).shuffle(lines)
    (phantoms.root / "shuffled.jsonl").write_text("".join(lines), encoding="utf-8")
    shuffled = curate(phantom_recipe(table="shuffled.jsonl"), tmp_path, LocalExecutor())
    assert selected_ids(shuffled) == selected_ids(phantom_run)
    assert dropped(shuffled) == dropped(phantom_run)


def test_sharding_of_the_input_does_not_change_what_is_kept(
    phantom_run, phantom_recipe, phantoms: PhantomSet, tmp_path
):
    lines = phantoms.samples.read_text(encoding="utf-8").splitlines(keepends=True)
    folder = phantoms.root / "sharded"
    folder.mkdir()
    for shard in range(3):
        path = folder / f"{shard}.jsonl"
        path.write_text("".join(lines[shard::3]), encoding="utf-8")
    sharded = curate(phantom_recipe(table="sharded/*.jsonl"), tmp_path, LocalExecutor())
    assert selected_ids(sharded) == selected_ids(phantom_run)


def test_batch_sizes_do_not_change_a_byte(phantom_run, phantom_recipe, tmp_path):
    recipe = phantom_recipe(
        "compute.images_per_batch=7", "compute.rows_per_batch=33", cache=tmp_path / "fresh"
    )
    assert selection(curate(recipe, tmp_path / "run", LocalExecutor())) == selection(phantom_run)


def test_too_many_failures_do_not_count_but_leave_a_manifest(phantom_recipe, tmp_path):
    with pytest.raises(LedgerError, match=r"more than failures\.tolerance"):
        curate(phantom_recipe("failures.tolerance=0.0"), tmp_path, LocalExecutor())
    sql = "SELECT status, (SELECT count(*) FROM why WHERE action = 'failed') AS failed FROM runs"
    [line] = read(tmp_path / "manifest.duckdb", sql).to_pylist()
    assert line["status"] != "balanced"
    assert line["failed"] > 0


def test_two_runs_at_once_in_one_directory_are_refused(phantom_recipe, tmp_path):
    with (tmp_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(UsageError, match="another run or selection is at work"):
            curate(phantom_recipe(), tmp_path, LocalExecutor())


def test_a_run_directory_in_which_no_database_can_be_is_refused(tmp_path):
    with pytest.raises(UsageError, match="question mark"), claimed(tmp_path / "why?"):
        raise AssertionError
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_place_of_the_run_directory_is_refused(phantom_recipe, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot use"):
        curate(phantom_recipe(), tmp_path / "file", LocalExecutor())


def test_the_search_says_what_it_measured(phantom_run):
    sql = "SELECT value FROM measures WHERE name = 'image_recall'"
    assert read(phantom_run.manifest, sql)["value"].to_pylist() == [1.0]
    sql = "SELECT threshold, value FROM measures WHERE name = 'semantic redundant' ORDER BY 1"
    counts = read(phantom_run.manifest, sql)
    assert counts.num_rows > 5
    values = counts["value"].to_pylist()
    assert values == sorted(values, reverse=True)
