"""A run in an object store: the rows of a local run, on any machine, whatever is killed or lost."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import medsift as ms
from curation.pipeline import curate, run_stages
from curation.run_dir import open_run
from curation.stages import STAGES
from medsift import execution
from medsift.execution import LocalExecutor
from medsift.manifest import read
from medsift.storage import mirror
from medsift.storage.mirror import location, mirror_of
from medsift.storage.open_store import open_store
from tests.fakes import Killed, KilledExecutor
from tests.stores import keys_in, new_bucket

NAMES = [stage.name for stage in STAGES if stage.name != "filter"]


def kept(manifest: Path) -> list[tuple[str, str]]:
    rows = read(manifest, "SELECT row_id, sample_id FROM why WHERE action = 'kept' ORDER BY 1")
    return [tuple(row.values()) for row in rows.to_pylist()]


def content(run) -> dict[str, list]:
    """The tables of a run's stages, as their parts."""
    return {
        f"{stage}.{name}": [part.read_bytes() for part in getattr(outputs, name).parts()]
        for stage, outputs in run.upstream.items()
        for name in (*outputs.schemas, "decisions")
    }


@pytest.fixture(scope="module")
def machines(object_store, tmp_path_factory):
    """Be one of several machines that share nothing but the store."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{object_store}")
        root = tmp_path_factory.mktemp("machines")

        def be(name: str) -> Path:
            patch.setenv("MEDSIFT_CACHE_DIR", str(root / name))
            patch.setattr(mirror, "_compared", set())
            return root / name

        be("first")
        yield be


@pytest.fixture(scope="module")
def bucket(object_store, machines) -> str:
    return new_bucket(object_store)


@pytest.fixture(scope="module")
def stored(bucket, phantom_recipe, machines):
    """The phantom set curated into the store on the first machine."""
    return curate(phantom_recipe(), Path(f"s3://{bucket}/run"), LocalExecutor())


def test_every_table_is_that_of_a_local_run(stored, phantom_run):
    assert stored.run_id == phantom_run.run_id
    assert content(stored) == content(phantom_run)
    assert kept(stored.manifest) == kept(phantom_run.manifest)


def test_another_machine_reuses_every_stage(stored, phantom_run, phantom_recipe, bucket, machines):
    machines("second")
    again = run_stages(phantom_recipe(), mirror_of(f"s3://{bucket}/run"), LocalExecutor())
    assert [stage.stage for stage in again.stages if stage.reused] == NAMES
    assert content(again) == content(phantom_run)


def test_another_machine_opens_queries_and_selects(stored, bucket, machines):
    machines("third")
    run = ms.open_run(f"s3://{bucket}/run")
    assert run.run_id == stored.run_id
    assert run.sql("SELECT count(*) AS n FROM samples")["n"].to_pylist()[0] > 0
    assert run.report.read_text().startswith("<!doctype html>")
    small = run.select("small", budget=8)
    assert len(small.ids) == 8
    machines("first")
    # This machine's copy of the manifest is the old one until it is asked.
    assert "small" in ms.open_run(f"s3://{bucket}/run").selections
    assert open_run(mirror_of(f"s3://{bucket}/run")).upstream.select.selections.count() > 0


def test_the_store_needs_no_listing_and_keeps_no_secret(stored, object_store, bucket, machines):
    keys = keys_in(object_store, bucket)
    assert [key for key in keys if ".partial" in key or "/." in key] == []
    store = open_store(f"s3://{bucket}")
    for key in keys:
        if not key.endswith((".parquet", ".duckdb")):
            data = store.read(key).data
            assert str(machines("first")).encode() not in data, key
    manifest = stored.manifest.read_bytes()
    assert str(machines("first")).encode() not in manifest
    assert location(stored.run_dir) == f"s3://{bucket}/run"


@pytest.mark.parametrize(("stream", "items"), [("pass", 1), ("ingest", 0)])
def test_killed_on_one_machine_and_started_on_another_equals_uninterrupted(
    stream, items, stored, phantom_run, phantom_recipe, bucket, machines
):
    place = f"s3://{bucket}/killed-{stream}"
    machines("first")
    with pytest.raises(Killed):
        run_stages(phantom_recipe(), mirror_of(place), KilledExecutor(items, stream))
    machines(f"after-{stream}")
    resumed = run_stages(phantom_recipe(), mirror_of(place), LocalExecutor())
    assert content(resumed) == content(phantom_run)


def test_killed_between_a_part_and_its_marker_repeats_that_item_alone(
    stored, phantom_run, phantom_recipe, bucket, machines, monkeypatch
):
    machines("first")
    url = f"s3://{bucket}/killed-marker"
    real = execution.write_json
    written = []

    def dies(value, path: Path) -> None:
        if path.parent.name == "finished" and path.parent.parent.name == "pass":
            written.append(path.name)
            if len(written) == 3:
                raise Killed
        real(value, path)

    monkeypatch.setattr(execution, "write_json", dies)
    with pytest.raises(Killed):
        run_stages(phantom_recipe(), mirror_of(url), LocalExecutor())
    machines("after-marker")
    written.clear()
    monkeypatch.setattr(
        execution, "write_json", lambda value, path: written.append(path.name) or real(value, path)
    )
    resumed = run_stages(phantom_recipe(), mirror_of(url), LocalExecutor())
    assert content(resumed) == content(phantom_run)
    assert "part-000000.json" not in written[: written.index("part-000002.json")]


def test_a_stage_begun_with_other_batches_elsewhere_leaves_nothing_behind(
    stored, phantom_run, phantom_recipe, bucket, machines
):
    """First machine: small batches, killed. Second: large ones, killed. First: large ones again."""
    url = f"s3://{bucket}/other-batches"
    machines("first")
    small, large = (phantom_recipe(f"compute.images_per_batch={size}") for size in (4, 16))
    with pytest.raises(Killed):
        run_stages(small, mirror_of(url), KilledExecutor(6, "pass"))
    machines("other-batches")
    with pytest.raises(Killed):
        run_stages(large, mirror_of(url), KilledExecutor(1, "pass"))
    machines("first")
    resumed = run_stages(large, mirror_of(url), LocalExecutor())
    assert content(resumed) == content(phantom_run)


def test_a_mirror_may_be_removed_and_a_marker_lost(
    stored, phantom_run, phantom_recipe, bucket, machines
):
    url = f"s3://{bucket}/run"
    shutil.rmtree(machines("second"), ignore_errors=True)
    folder = next(stage.outputs.folder for stage in stored.stages if stage.stage == "dedup")
    open_store(url).remove([f"stages/{folder.name}/done.json"])
    again = run_stages(phantom_recipe(), mirror_of(url), LocalExecutor())
    reused = {stage.stage: stage.reused for stage in again.stages}
    assert not reused["dedup"]
    assert reused["embed"]
    assert content(again) == content(phantom_run)
