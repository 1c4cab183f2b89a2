"""A run in a store: failures are tried again, and rows withdrawn, as in a folder."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from curation.image_pass import ImagePass
from curation.pipeline import curate
from curation.retry import retry_failed
from curation.run_dir import open_run
from curation.withdraw.choose import rows_by_id, withdraw
from curation.withdraw.finish import finish
from medsift.execution import LocalExecutor
from medsift.manifest import read
from medsift.storage import mirror
from medsift.storage.mirror import mirror_of
from medsift.storage.open_store import open_store
from tests.curation.increments.pools import contents, copy_rows, recipe_of
from tests.stores import keys_in

TABLES = ("rows", "samples", "images", "decisions", "clusters", "scores", "selections")


@pytest.fixture
def machine(bucket_url, tmp_path, monkeypatch) -> Callable[[str], None]:
    """Be one of several machines that share nothing but the store."""

    def be(name: str) -> None:
        monkeypatch.setenv("MEDSIFT_CACHE_DIR", str(tmp_path / name))
        monkeypatch.setattr(mirror, "_compared", set())

    return be


def failing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the decoder fail at every third picture."""
    looked = ImagePass.__call__

    def call(self, refs):
        seen = looked(self, refs)
        for name, value in (("error", "decoder_lost"), ("image_id", None)):
            place, old = seen.column_names.index(name), seen[name].to_pylist()
            new = [value if at % 3 == 0 else one for at, one in enumerate(old)]
            seen = seen.set_column(place, seen.schema.field(place), [new])
        return seen

    monkeypatch.setattr(ImagePass, "__call__", call)


@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_what_failed_on_one_machine_is_tried_again_and_withdrawn_on_another(
    files, phantoms, object_store, bucket_url, machine, tmp_path, monkeypatch
):
    rows = copy_rows(files[:6], tmp_path / "rows")
    cache, run_dir = mirror_of(f"{bucket_url}/cache"), f"{bucket_url}/run"
    recipe = recipe_of(rows, phantoms, f"{bucket_url}/cache", "failures.tolerance=1.0")
    machine("first")
    with monkeypatch.context() as patch:
        failing(patch)
        curate(recipe, mirror_of(run_dir), LocalExecutor())
    machine("second")
    counts = retry_failed(mirror_of(run_dir), "decoder_lost")
    assert counts["decoder_lost"] > 0
    retried = curate(recipe, mirror_of(run_dir), LocalExecutor())
    sound = recipe_of(rows, phantoms, tmp_path / "cache", "failures.tolerance=1.0")
    local = curate(sound, tmp_path / "local", LocalExecutor())
    expected, found = contents(local.manifest), contents(retried.manifest, retried.run_id)
    for name in TABLES:
        assert found[name] == expected[name], name

    machine("third")
    run = open_run(mirror_of(run_dir))
    shown = "SELECT row_id, images FROM samples WHERE run_id = $1 ORDER BY len(images) DESC, row_id"
    lines = read(run.manifest, shown, [run.run_id]).to_pylist()
    of_row = {line["row_id"]: {one["image_id"] for one in line["images"]} for line in lines}
    gone = [next(iter(of_row)), list(of_row)[-1]]
    alone = set(of_row[gone[0]]) - {
        image for row in set(of_row) - set(gone) for image in of_row[row]
    }
    withdraw(run, "rows", rows_by_id(run, gone))
    done = finish(mirror_of(run_dir), LocalExecutor())
    assert done is not None
    assert done.rows == 2
    kept = [file for file in files[:6] if f"p:{file.name}:0" not in gone]
    left = copy_rows(kept, tmp_path / "left")
    sound = recipe_of(left, phantoms, tmp_path / "cache", "failures.tolerance=1.0")
    never = curate(sound, tmp_path / "never", LocalExecutor())
    now = open_run(mirror_of(run_dir))
    expected, found = contents(never.manifest), contents(now.manifest)
    for name in TABLES:
        assert found[name] == expected[name], name
    # Nothing of them is left in the bucket.
    keys = keys_in(object_store, bucket_url.removeprefix("s3://"))
    folders = {outputs.folder.name for outputs in now.upstream.values()}
    assert {key.split("/")[2] for key in keys if key.startswith("run/stages/")} == folders
    assert sum(key.startswith("run/manifest/") for key in keys) == 1
    store = open_store(bucket_url)
    logs = b"".join(store.read(key).data for key in keys if "/log/" in key)
    manifest = next(store.read(key).data for key in keys if key.startswith("run/manifest/"))
    assert alone or done.images == 0
    for name in (*gone, *alone):
        assert name.encode() not in manifest
        assert name.encode() not in logs
    # What stays is still found by another machine, and the rest of the cache is whole.
    machine("first")
    again = curate(recipe, mirror_of(run_dir), LocalExecutor())
    assert all(stage.reused for stage in again.stages)
    assert cache != mirror_of(f"{bucket_url}/cache")
