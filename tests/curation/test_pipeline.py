"""The promises of a run: every row has a fate, order is nothing, killed equals uninterrupted."""

from __future__ import annotations

import fcntl
import json
import random
import shutil
from pathlib import Path

import pytest

from curation.phantoms import PhantomSet
from curation.pipeline import RunResult, curate, run_stages
from curation.stages import STAGES
from curation.stages.stage import StagesDone
from medsift.execution import LocalExecutor
from medsift.manifest import read
from medsift.progress import Event, StageFinished
from medsift.storage.run_lock import claimed
from tests.expect import raises_code
from tests.fakes import Killed, KilledExecutor

NAMES = [stage.name for stage in STAGES if stage.name != "filter"]


def selection(run: RunResult | StagesDone) -> bytes:
    """Return the bytes of the selection."""
    [part] = run.upstream.select.selections.parts()
    return part.read_bytes()


def selected_ids(run: RunResult | StagesDone) -> list[str]:
    return sorted(run.upstream.select.selections.read(["sample_id"])["sample_id"].to_pylist())


def dropped(run: RunResult | StagesDone) -> list[tuple[str, str]]:
    decisions = run.upstream.dedup.decisions.read(["sample_id", "reason"])
    return sorted(tuple(line.values()) for line in decisions.to_pylist())


@pytest.fixture
def copied_run(phantom_run, tmp_path) -> Path:
    """A copy of the finished run that a test may change."""
    return shutil.copytree(phantom_run.run_dir, tmp_path / "run")


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


def test_weights_count_the_rows_that_a_selected_row_represents(phantom_run):
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
    again = run_stages(phantom_recipe(), phantom_run.run_dir, LocalExecutor(), events.append)
    finished = [event for event in events if isinstance(event, StageFinished)]
    assert [event.stage for event in finished if event.reused] == NAMES
    assert selection(again) == before
    assert again.run_id == phantom_run.run_id


def test_a_changed_rule_repeats_only_what_depends_on_it(phantom_recipe, copied_run):
    recipe = phantom_recipe("dedup.sample.question_cosine=0.99")
    again = run_stages(recipe, copied_run, LocalExecutor())
    assert [stage.stage for stage in again.stages if stage.reused] == ["ingest", "images", "embed"]


@pytest.mark.parametrize(("stream", "items"), [("pass", 1), ("embed", 0)])
def test_killed_and_started_again_equals_uninterrupted(
    stream, items, phantom_run, phantom_recipe, tmp_path
):
    with pytest.raises(Killed):
        run_stages(phantom_recipe(), tmp_path, KilledExecutor(items, stream))
    resumed = run_stages(phantom_recipe(), tmp_path, LocalExecutor())
    assert selection(resumed) == selection(phantom_run)


@pytest.mark.parametrize(
    ("stream", "before", "after"),
    [
        ("ingest", "sources.0.shard_bytes=9000", "sources.0.shard_bytes=2000"),
        ("pass", "compute.images_per_batch=16", "compute.images_per_batch=5"),
        ("embed", "compute.rows_per_batch=40", "compute.rows_per_batch=21"),
    ],
)
def test_a_killed_run_continues_with_other_batches_or_shards(
    stream, before, after, phantom_run, phantom_recipe, tmp_path
):
    with pytest.raises(Killed):
        run_stages(phantom_recipe(before), tmp_path, KilledExecutor(1, stream))
    resumed = run_stages(phantom_recipe(after), tmp_path, LocalExecutor())
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
    again = run_stages(recipe, tmp_path / "run", LocalExecutor())
    refs = again.upstream.images.images.read(["ref"])["ref"].to_pylist()
    assert [ref for ref in refs if not ref.startswith(str(moved.resolve()))] == []
    details = [
        detail
        for stage in again.stages
        for detail in stage.outputs.decisions.read(["detail"])["detail"].to_pylist()
    ]
    assert [detail for detail in details if str(phantoms.root) in (detail or "")] == []
    assert selection(again) == selection(phantom_run)


@pytest.mark.parametrize(
    "how", ["empty", "cut", "no json", "another stage", "flipped", "short", "gone"]
)
def test_a_damaged_stage_runs_again_and_ends_the_same(
    how, phantom_run, phantom_recipe, copied_run, caplog
):
    [folder] = copied_run.glob("stages/dedup-*")
    part = folder / "clusters" / "part-000000.parquet"
    data, marker = bytearray(part.read_bytes()), folder / "done.json"
    match how:
        case "empty":
            marker.write_bytes(b"")
        case "cut":
            marker.write_bytes(marker.read_bytes()[:40])
        case "no json":
            marker.write_text("[1, 2]")
        case "another stage":
            # The folder's name holds the first digits alone; the marker holds all of them.
            note = json.loads(marker.read_text())
            note["fingerprint"] = note["fingerprint"][:16] + "0" * 48
            marker.write_text(json.dumps(note))
        case "flipped":
            data[len(data) // 3] ^= 4
            part.write_bytes(data)
        case "short":
            part.write_bytes(data[:-1])
        case "gone":
            part.unlink()
    again = run_stages(phantom_recipe(), copied_run, LocalExecutor())
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
        if run_stages(recipe, run, LocalExecutor())
    )
    assert len(cold) > 15
    assert [name for name in cold if cold[name] != warm[name]] == []


def test_samples_are_written_by_the_first_stage_alone(phantom_run):
    folders = (phantom_run.run_dir / "stages").glob("*/samples")
    assert [folder.parent.name.partition("-")[0] for folder in folders] == ["ingest"]


def test_order_of_rows_does_not_change_what_is_kept(
    phantom_run, phantom_recipe, phantoms: PhantomSet, tmp_path
):
    lines = phantoms.samples.read_text(encoding="utf-8").splitlines(keepends=True)
    random.Random(5).shuffle(lines)
    (phantoms.root / "shuffled.jsonl").write_text("".join(lines), encoding="utf-8")
    shuffled = run_stages(phantom_recipe(table="shuffled.jsonl"), tmp_path, LocalExecutor())
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
    sharded = run_stages(phantom_recipe(table="sharded/*.jsonl"), tmp_path, LocalExecutor())
    assert selected_ids(sharded) == selected_ids(phantom_run)


def test_batch_sizes_do_not_change_a_byte(phantom_run, phantom_recipe, tmp_path):
    recipe = phantom_recipe(
        "compute.images_per_batch=7", "compute.rows_per_batch=33", cache=tmp_path / "fresh"
    )
    cut_otherwise = run_stages(recipe, tmp_path / "run", LocalExecutor())
    assert selection(cut_otherwise) == selection(phantom_run)


def test_too_many_failures_do_not_count_but_leave_a_manifest(phantom_recipe, tmp_path):
    with raises_code("failures_above_tolerance") as caught:
        curate(phantom_recipe("failures.tolerance=0.0"), tmp_path, LocalExecutor())
    sql = "SELECT status, (SELECT count(*) FROM why WHERE action = 'failed') AS failed FROM runs"
    [line] = read(tmp_path / "manifest.duckdb", sql).to_pylist()
    assert line["status"] != "balanced"
    assert line["failed"] == caught.value.values["failed"] > 0


def test_two_runs_at_once_in_one_directory_are_refused(phantom_recipe, tmp_path):
    with (tmp_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for start in (curate, run_stages):
            with raises_code("run_directory_busy", path=str(tmp_path)):
                start(phantom_recipe(), tmp_path, LocalExecutor())


def test_a_run_directory_in_which_no_database_can_be_is_refused(tmp_path):
    with raises_code("run_directory_unusable"), claimed(tmp_path / "why?"):
        raise AssertionError
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_place_of_the_run_directory_is_refused(phantom_recipe, tmp_path):
    (tmp_path / "file").write_text("")
    with raises_code("run_directory_unusable", path=str(tmp_path / "file")):
        curate(phantom_recipe(), tmp_path / "file", LocalExecutor())


def test_the_search_says_what_it_measured(phantom_run):
    sql = "SELECT value FROM measures WHERE name = 'image_recall'"
    assert read(phantom_run.manifest, sql)["value"].to_pylist() == [1.0]
    sql = "SELECT threshold, value FROM measures WHERE name = 'semantic redundant' ORDER BY 1"
    counts = read(phantom_run.manifest, sql)
    assert counts.num_rows > 5
    values = counts["value"].to_pylist()
    assert values == sorted(values, reverse=True)
